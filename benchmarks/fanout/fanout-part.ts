import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, type Part, type PartResult, programsOf } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { cpuSince, cpuTime, peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { type Project, projectOfJsonBytes } from "../project.ts";
import type { RelayProgram } from "../relay-program.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream } from "../static-upstream.ts";
import type { Delivery } from "./delivery.ts";
import { type FanoutRun, fanoutTable, type Update } from "./fanout-table.ts";

const SDK_KEY = "secret-bench-fanout";
const DELIVERY_TIMEOUT_MS = 60_000;
/** By default the relay accepts 500 streams. */
const MAX_STREAMS = 20_000;

interface FanoutCase {
  readonly connections: number;
  readonly streams: number;
  readonly messageBytes: number;
}

const CASES: readonly FanoutCase[] = [
  { connections: 5, streams: 500, messageBytes: 1_000_000 },
  { connections: 500, streams: 500, messageBytes: 1_000_000 },
  { connections: 100, streams: 10_000, messageBytes: 100_000 },
];

/** Pause before an update, for garbage collection after the last one. */
const SETTLE_MS = 1_000;

/** Measures an update of 1 MB to 500 gRPC streams, and one of 100 KB to 10,000. */
export const fanoutPart: Part = { name: "fanout", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const updates = bench.quick ? 2 : 5;
  const runs: FanoutRun[] = [];
  for (const fanout of CASES) {
    for (const program of programsOf(bench)) {
      const what = `${fanout.streams} streams on ${fanout.connections} connections, ${program.name}`;
      bench.progress(`fanout: ${what}`);
      try {
        runs.push({ ...fanout, name: program.name, updates: await measure(bench, program, fanout, updates) });
      } catch (error) {
        throw new Error(`${what}: ${error}`);
      }
    }
  }
  return {
    tables: [fanoutTable(runs)],
    notes: [
      `${updates} updates; clients in one other process, with the default windows of node:http2`,
      "one message per update was decoded and compared; CPU includes fetching, checking and compressing",
    ],
    raw: runs,
  };
}

async function measure(
  bench: Bench,
  program: RelayProgram,
  { connections, streams, messageBytes }: FanoutCase,
  updates: number,
): Promise<Update[]> {
  await using upstream = await StaticUpstream.start();
  upstream.publish(SDK_KEY, projectOfJsonBytes(messageBytes, FIRST_LCUT));
  const args = ["--grpc-max-concurrent-streams", String(MAX_STREAMS)];
  const relayOptions = { program, upstream, cores: bench.cores?.server, pollIntervalS: 1, args };
  await using relay = await RelayServer.start(bench, relayOptions);
  const clientArgs = [relay.grpcUrl, SDK_KEY, String(connections), String(streams / connections)];
  await using client = new ClientProcess(bench, "fanout/stream-client.ts", clientArgs);
  await client.next<Delivery>(DELIVERY_TIMEOUT_MS);
  const measured: Update[] = [];
  for (let update = 1; update <= updates; update++) {
    const project = projectOfJsonBytes(messageBytes, FIRST_LCUT + update);
    await sleep(SETTLE_MS, undefined, { signal: bench.signal });
    measured.push(await measureUpdate(relay.pid, upstream, client, project));
  }
  return measured;
}

async function measureUpdate(
  pid: number,
  upstream: StaticUpstream,
  client: ClientProcess,
  project: Project,
): Promise<Update> {
  const restingBytes = residentBytes(pid);
  resetPeak(pid);
  const before = cpuTime(pid);
  upstream.publish(SDK_KEY, project);
  const delivery = await client.next<Delivery>(DELIVERY_TIMEOUT_MS);
  const cpu = cpuSince(pid, before);
  requireDelivered(delivery, project);
  const [firstAt = Number.NaN] = delivery.arrivals;
  const lastAt = delivery.arrivals.at(-1) ?? Number.NaN;
  return {
    upstreamToFirstMs: firstAt - upstream.sentAt(project.lcut),
    firstToMedianMs: (delivery.arrivals[Math.floor(delivery.arrivals.length / 2)] ?? Number.NaN) - firstAt,
    firstToLastMs: lastAt - firstAt,
    cpuMs: cpu.processMs,
    mainThreadCpuMs: cpu.mainThreadMs,
    restingBytes,
    peakBytes: peakResidentBytes(pid),
  };
}

function requireDelivered({ lcut, specDigest }: Delivery, project: Project): void {
  const expected = createHash("sha256").update(project.json).digest("hex");
  if (lcut !== project.lcut || specDigest !== expected)
    throw new Error("a stream received a different message than was sent");
}
