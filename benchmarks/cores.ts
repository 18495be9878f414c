import { readFileSync } from "node:fs";

/** Cores of the server under test and of its client. */
export interface Cores {
  readonly server: number;
  readonly client: number;
}

/** Returns two cores that this process may use, or undefined if there is only one or no `taskset`. */
export function chooseCores(): Cores | undefined {
  const [server, client] = allowedCores();
  if (server === undefined || client === undefined || Bun.which("taskset") === null) return undefined;
  return { server, client };
}

/** Parses a list such as `0-1,4`. A container may have any of the machine's cores. */
function allowedCores(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  return list.split(",").flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
}

export function onCore(core: number | undefined, command: readonly string[]): string[] {
  return core === undefined ? [...command] : ["taskset", "-c", String(core), ...command];
}
