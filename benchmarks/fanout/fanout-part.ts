import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, type Part, type PartResult, programsOf } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { cpuSince, cpuTime, peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { type Project, projectOfJsonBytes } from "../project.ts";
import { FIRST_LCUT } from "../static-upstream.ts";
import type { Delivery } from "./delivery.ts";
import {
  connectNodeServer,
  type FanoutServer,
  relayServer,
  SDK_KEY,
  type StartFanoutServer,
} from "./fanout-servers.ts";
import { type FanoutRun, fanoutTable, ratioTable, type Update } from "./fanout-table.ts";
import type { WindowsName } from "./windows.ts";

const DELIVERY_TIMEOUT_MS = 60_000;

export interface FanoutCase {
  readonly connections: number;
  readonly streams: number;
  readonly messageBytes: number;
  readonly windows: WindowsName;
  /** Whether connect-node is measured too. */
  readonly isCompared: boolean;
}

const CASES: readonly FanoutCase[] = [
  { connections: 5, streams: 500, messageBytes: 1_000_000, windows: "HTTP/2", isCompared: true },
  { connections: 500, streams: 500, messageBytes: 1_000_000, windows: "HTTP/2", isCompared: true },
  { connections: 500, streams: 500, messageBytes: 1_000_000, windows: "core SDK", isCompared: true },
  { connections: 100, streams: 10_000, messageBytes: 100_000, windows: "HTTP/2", isCompared: false },
];

/** Pause before an update, for garbage collection after the last one. */
const SETTLE_MS = 1_000;

/** Measures an update of 1 MB to 500 gRPC streams, beside connect-node, and one of 100 KB to 10,000. */
export const fanoutPart: Part = { name: "fanout", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const updates = bench.quick ? 2 : 5;
  const runs: FanoutRun[] = [];
  for (const fanout of CASES) {
    const servers = programsOf(bench).map(relayServer);
    if (fanout.isCompared) servers.push(connectNodeServer);
    for (const start of servers) {
      bench.progress(`fanout: ${fanout.streams} streams on ${fanout.connections} connections`);
      runs.push({ ...fanout, ...(await measureFanout(bench, start, fanout, updates)) });
    }
  }
  return {
    tables: [fanoutTable(runs), ratioTable(runs)],
    notes: [
      `${updates} updates; clients in one other process, with the default windows of HTTP/2`,
      "one message per update was decoded and compared; time and CPU begin when the server is sent the update",
      "longest wait: of PINGs every 10 ms on 12 connections; no event loop of the server was blocked for longer",
    ],
    raw: runs,
  };
}

/** Opens the streams on a new server, sends it updates one after the other, and measures each. */
export async function measureFanout(
  bench: Bench,
  start: StartFanoutServer,
  { connections, streams, messageBytes, windows }: FanoutCase,
  updates: number,
): Promise<Pick<FanoutRun, "name" | "updates">> {
  await using server = await start(bench, projectOfJsonBytes(messageBytes, FIRST_LCUT));
  const clientArgs = [server.grpcUrl, SDK_KEY, String(connections), String(streams / connections), windows];
  await using client = new ClientProcess(bench, "fanout/stream-client.ts", clientArgs);
  await using probe = new ClientProcess(bench, "fanout/stall-probe.ts", [server.grpcUrl]);
  try {
    await client.next<Delivery>(DELIVERY_TIMEOUT_MS);
    const measured: Update[] = [];
    for (let update = 1; update <= updates; update++) {
      const project = projectOfJsonBytes(messageBytes, FIRST_LCUT + update);
      await longestWait(probe);
      await sleep(SETTLE_MS, undefined, { signal: bench.signal });
      measured.push(await measureUpdate(server, client, probe, project));
    }
    return { name: server.name, updates: measured };
  } catch (error) {
    throw new Error(`${streams} streams on ${connections} connections, ${server.name}: ${error}`);
  }
}

async function measureUpdate(
  { pid, publish }: FanoutServer,
  client: ClientProcess,
  probe: ClientProcess,
  project: Project,
): Promise<Update> {
  const quietWaitMs = await longestWait(probe);
  const restingBytes = residentBytes(pid);
  resetPeak(pid);
  const sentAt = await publish(project);
  const before = cpuTime(pid);
  const delivery = await client.next<Delivery>(DELIVERY_TIMEOUT_MS);
  const cpu = cpuSince(pid, before);
  requireDelivered(delivery, project);
  const [firstAt = Number.NaN] = delivery.arrivals;
  const lastAt = delivery.arrivals.at(-1) ?? Number.NaN;
  return {
    sentToFirstMs: firstAt - sentAt,
    firstToMedianMs: (delivery.arrivals[Math.floor(delivery.arrivals.length / 2)] ?? Number.NaN) - firstAt,
    firstToLastMs: lastAt - firstAt,
    cpuMs: cpu.processMs,
    mainThreadCpuMs: cpu.mainThreadMs,
    quietWaitMs,
    longestWaitMs: await longestWait(probe),
    restingBytes,
    peakBytes: peakResidentBytes(pid),
  };
}

/** Resolves with the longest time, in ms, that a PING waited for its response since the last call. */
function longestWait(probe: ClientProcess): Promise<number> {
  probe.send("take");
  return probe.next<number>(DELIVERY_TIMEOUT_MS);
}

function requireDelivered({ lcut, specDigest }: Delivery, project: Project): void {
  const expected = createHash("sha256").update(project.json).digest("hex");
  if (lcut !== project.lcut || specDigest !== expected)
    throw new Error("a stream received a different message than was sent");
}
