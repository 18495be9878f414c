import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { exitOf } from "../common/exit-of.ts";
import { Output } from "../common/output.ts";
import { within } from "../common/wait.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { END_LIMIT_MS, spawnRelay } from "./run-relay.ts";

export { type FinishedRun, runRelay } from "./run-relay.ts";

export interface RelayOptions {
  readonly upstream?: Upstream;
  /** An option given here replaces its default. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly mode?: "grpc-and-http" | "grpc" | "http";
  readonly cache?: "disabled" | "local" | "redis";
  readonly pollIntervalS?: number;
  /** 0 picks a free port. Pass the port of a killed relay to replace it. */
  readonly httpPort?: number;
  readonly grpcPort?: number;
  /** Use only the given arguments, which include MODE and CACHE. */
  readonly isBare?: boolean;
  /** A command that starts the relay, such as one that drops a privilege. */
  readonly through?: readonly string[];
}

const LAST_OUTPUT_MS = 2_000;

/** A running relay. */
export class RelayProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #output: Output;
  readonly #addresses: ReadonlyMap<string, string>;

  constructor(child: ChildProcess, output: Output, addresses: ReadonlyMap<string, string>) {
    this.#child = child;
    this.#output = output;
    this.#addresses = addresses;
  }

  get httpUrl(): string {
    return this.urlOf("http");
  }

  get grpcUrl(): string {
    return this.urlOf("grpc");
  }

  /** Returns the address of a listener by the protocol in its log line. */
  urlOf(protocol: string): string {
    const address = this.#addresses.get(protocol);
    if (address === undefined) throw new Error(`the relay does not listen for ${protocol}`);
    return address;
  }

  get httpPort(): number {
    return Number(new URL(this.httpUrl).port);
  }

  get grpcPort(): number {
    return Number(new URL(this.grpcUrl).port);
  }

  /** Returns everything printed so far to stdout and stderr. */
  output(): string {
    return this.#output.text;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves with the exit code, or -1 if a signal ended the process. All of its output is read then. */
  async exited(): Promise<number> {
    const code = await exitOf(this.#child);
    // A program through which the relay was started may leave a process that still has the output.
    await Promise.race([this.#output.ended, sleep(LAST_OUTPUT_MS, undefined, { ref: false })]);
    return code;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    this.#child.kill(signal);
    return within(this.exited(), END_LIMIT_MS, `relay to end on ${signal}`);
  }

  /** Sends SIGKILL, as an out-of-memory killer does. */
  async kill(): Promise<void> {
    await this.stop("SIGKILL");
  }

  /** Current resident memory. */
  rssBytes(): number {
    return this.#statusBytes("VmRSS");
  }

  /** Peak resident memory since the start or the last reset. */
  peakRssBytes(): number {
    return this.#statusBytes("VmHWM");
  }

  resetPeakRss(): void {
    writeFileSync(`/proc/${this.#child.pid}/clear_refs`, "5");
  }

  #statusBytes(field: string): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * 1024;
  }

  /** CPU time of the whole process since its start, in ms, to the hundredth of a second. */
  cpuMs(): number {
    const TICK_MS = 10;
    const [, text = ""] = readFileSync(`/proc/${this.#child.pid}/stat`, "utf8").split(") ");
    const [user = 0, system = 0] = text.split(" ").slice(11, 13).map(Number);
    return (user + system) * TICK_MS;
  }

  /** Number of threads, those of the runtime included. */
  threads(): number {
    return readdirSync(`/proc/${this.#child.pid}/task`).length;
  }

  /** How often all threads together went to sleep since the start: what polls adds up here even if it costs little. */
  timesAsleep(): number {
    const tasks = readdirSync(`/proc/${this.#child.pid}/task`);
    const counts = tasks.map((task) => {
      const status = readFileSync(`/proc/${this.#child.pid}/task/${task}/status`, "utf8");
      return Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1]);
    });
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Number of open files and sockets. */
  openDescriptors(): number {
    return readdirSync(`/proc/${this.#child.pid}/fd`).length;
  }

  /** Number of open client connections to one of its ports. */
  openConnections(protocol: string): number {
    const port = Number(new URL(this.urlOf(protocol)).port)
      .toString(16)
      .toUpperCase()
      .padStart(4, "0");
    const own = new Set(
      readdirSync(`/proc/${this.#child.pid}/fd`).flatMap((fd) => {
        try {
          return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${this.#child.pid}/fd/${fd}`))?.[1] ?? [];
        } catch {
          return [];
        }
      }),
    );
    const rows = readFileSync("/proc/net/tcp", "latin1").trim().split("\n").slice(1);
    const LISTENS = "0A";
    return rows.filter((row) => {
      const [, local = "", , state, , , , , , inode = ""] = row.trim().split(/\s+/);
      return local.endsWith(`:${port}`) && state !== LISTENS && own.has(inode);
    }).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** Returns the address of each listener by its protocol, or undefined until the relay serves. Parses log lines of both formats. */
export function servingAddresses(text: string): Map<string, string> | undefined {
  if (!/ INFO +serving |"message":"serving"/.test(text)) return undefined;
  const lines = text.matchAll(/listening"?[ ,]"?protocol"?[=:]"?(\w+)"?[ ,]"?address"?[=:]"?([^\s"]+)/g);
  return new Map(Array.from(lines, ([, protocol = "", address = ""]) => [protocol, address]));
}

/** A start takes a second or less, and several on a busy machine. */
const START_LIMIT_MS = 25_000;

export async function startRelayProcess(options: RelayOptions = {}): Promise<RelayProcess> {
  const { upstream, mode = "grpc-and-http", cache = "disabled", pollIntervalS = 1 } = options;
  const { httpPort = 0, grpcPort = 0, args = [], env = {} } = options;
  const defaults = [
    ["--bind-address", "127.0.0.1"],
    ["--http-port", String(httpPort)],
    ["--grpc-port", String(grpcPort)],
    ["-p", String(pollIntervalS)],
    // Most tests start a relay of their own, and many run at once. tests/serving has those of several threads.
    ["--serving-threads", "1"],
  ].filter(([name = ""]) => !args.includes(name));
  const upstreamEnv = upstream === undefined ? {} : { STATSIG_ENDPOINT: upstream.url };
  const all = options.isBare ? args : [...defaults.flat(), ...args, mode, cache];
  const child = spawnRelay(all, { ...upstreamEnv, ...env }, options.through);
  const output = new Output(child.stdout, child.stderr);
  const ended = exitOf(child).then((code) => {
    throw new Error(`it ended with exit code ${code}`);
  });
  ended.catch(() => undefined);
  try {
    const addresses = await within(
      Promise.race([output.until(servingAddresses), ended]),
      START_LIMIT_MS,
      "serving",
    );
    return new RelayProcess(child, output, addresses);
  } catch (error) {
    child.kill("SIGKILL");
    throw new Error(`the relay did not start: ${String(error)}\n${output.text}`);
  }
}
