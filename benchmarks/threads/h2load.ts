import type { Bench } from "../bench.ts";
import { onCores } from "../cores.ts";

export interface ConstantLoad {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly perConnectionPerS: number;
  readonly durationS: number;
}

/** Sends HTTP/1.1 requests at a constant rate on each connection. Rejects unless every response is 2xx. */
export async function runH2load(bench: Bench, load: ConstantLoad): Promise<void> {
  const { url, headers, connections, perConnectionPerS, durationS } = load;
  const named = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const rate = [`-c${connections}`, "-t1", `-D${durationS}`, `--rps=${perConnectionPerS}`];
  const child = Bun.spawn(onCores(bench.cores?.client, ["h2load", "--h1", ...rate, ...named, url]), {
    stdio: ["ignore", "pipe", "pipe"],
    signal: bench.signal,
  });
  const [report, complaint] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  bench.signal.throwIfAborted();
  if ((await child.exited) !== 0) throw new Error(`h2load failed: ${complaint.trim()}`);
  const [, succeeded, failed] = /(\d+) succeeded, (\d+) failed/.exec(report) ?? [];
  const [, good] = /status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx/.exec(report) ?? [];
  if (failed !== "0" || good === undefined || succeeded === "0")
    throw new Error(`h2load had bad responses: ${report}`);
}
