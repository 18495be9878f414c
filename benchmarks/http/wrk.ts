import type { Bench } from "../bench.ts";
import { onCores } from "../cores.ts";

export interface WrkLoad {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly durationS: number;
}

export interface WrkResult {
  readonly requests: number;
  readonly requestsPerS: number;
  readonly bytesPerS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Number of responses that were neither 2xx nor 3xx. */
  readonly badAnswers: number;
  readonly socketErrors: number;
}

/** Sends requests to one URL as fast as it responds, with a thread on each of the client's cores. */
export async function runWrk(
  bench: Bench,
  { url, headers, connections, durationS }: WrkLoad,
): Promise<WrkResult> {
  const named = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const command = [
    "wrk",
    `-t${bench.cores?.client.length ?? 1}`,
    `-c${connections}`,
    `-d${durationS}s`,
    "--latency",
    ...named,
    url,
  ];
  const child = Bun.spawn(onCores(bench.cores?.client, command), {
    stdio: ["ignore", "pipe", "pipe"],
    signal: bench.signal,
  });
  const [report, complaint] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  bench.signal.throwIfAborted();
  if ((await child.exited) !== 0) throw new Error(`wrk failed: ${complaint.trim()}`);
  return readReport(report);
}

export function readReport(report: string): WrkResult {
  const [, connect = 0, read = 0, write = 0, timeout = 0] =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(report) ?? [];
  return {
    requests: Number(find(report, /(\d+) requests in /)),
    requestsPerS: Number(find(report, /Requests\/sec:\s+([\d.]+)/)),
    bytesPerS: scaled(find(report, /Transfer\/sec:\s+(\S+)/), BYTES),
    p50Ms: scaled(find(report, /^ +50% +(\S+) *$/m), MILLISECONDS),
    p99Ms: scaled(find(report, /^ +99% +(\S+) *$/m), MILLISECONDS),
    badAnswers: Number(/Non-2xx or 3xx responses: (\d+)/.exec(report)?.[1] ?? 0),
    socketErrors: Number(connect) + Number(read) + Number(write) + Number(timeout),
  };
}

const BYTES: Readonly<Record<string, number>> = { B: 1, KB: 1_024, MB: 1_024 ** 2, GB: 1_024 ** 3 };
const MILLISECONDS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 };

function find(report: string, pattern: RegExp): string {
  const found = pattern.exec(report)?.[1];
  if (found === undefined) throw new Error(`wrk's report lacks ${pattern.source}: ${report}`);
  return found;
}

function scaled(text: string, units: Readonly<Record<string, number>>): number {
  const [, value = "", unit = ""] = /^([\d.]+)([A-Za-z]+)$/.exec(text) ?? [];
  return Number(value) * (units[unit] ?? Number.NaN);
}
