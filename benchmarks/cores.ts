import { readFileSync } from "node:fs";

/** Numbers of the cores on which a process may run; undefined means all of them. */
export type CoreList = readonly number[] | undefined;

/** Cores of the server under test and of its client. */
export interface Cores {
  readonly server: readonly number[];
  readonly client: readonly number[];
}

/** Returns one core for the server and another for the client, or undefined if there is only one or no `taskset`. */
export function chooseCores(): Cores | undefined {
  const cores = coresForThreads(1);
  return cores?.server === cores?.client ? undefined : cores;
}

/**
 * Returns as many cores for the client as for a server with `threads` threads. If there are too few for both, they are
 * the same list. Returns undefined if there are fewer cores than threads or no `taskset`.
 */
export function coresForThreads(threads: number): Cores | undefined {
  const allowed = allowedCores();
  if (allowed.length < threads || Bun.which("taskset") === null) return undefined;
  const server = allowed.slice(0, threads);
  const client = allowed.slice(threads, 2 * threads);
  return client.length === threads ? { server, client } : { server, client: server };
}

/** Parses a list such as `0-1,4`. A container may have any of the machine's cores. */
export function allowedCores(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  return list.split(",").flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
}

export function onCores(cores: CoreList, command: readonly string[]): string[] {
  return cores === undefined ? [...command] : ["taskset", "-c", cores.join(","), ...command];
}
