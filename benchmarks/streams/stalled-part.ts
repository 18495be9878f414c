import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, type Part, type PartResult, programsOf } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import type { Delivery } from "../fanout/delivery.ts";
import type { WindowsName } from "../fanout/windows.ts";
import { peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { projectOfJsonBytes } from "../project.ts";
import type { RelayProgram } from "../relay-program.ts";
import { FIRST_LCUT, StaticUpstream } from "../static-upstream.ts";
import { megabytes } from "../table.ts";
import { StreamRelay } from "./stream-relay.ts";

const SDK_KEY = "secret-bench-stalled";
const STREAMS = 500;
const FIRST_BYTES = 1_000;
const OWED_BYTES = 1_000_000;
const SETTLE_MS = 3_000;
const DELIVERY_TIMEOUT_MS = 60_000;

interface StalledCase {
  readonly connections: number;
  readonly windows: WindowsName;
}

const CASES: readonly StalledCase[] = [
  { connections: 5, windows: "HTTP/2" },
  { connections: 500, windows: "HTTP/2" },
  { connections: 5, windows: "core SDK" },
  { connections: 500, windows: "core SDK" },
];

interface StalledRun extends StalledCase {
  readonly name: string;
  readonly openBytes: number;
  /** With the update held, which one client that reads has received. */
  readonly stalledBytes: number;
  readonly peakBytes: number;
  readonly resumedBytes: number;
}

/** Measures the memory for clients of streams that stop reading before an update. */
export const stalledPart: Part = { name: "stalled", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const runs: StalledRun[] = [];
  for (const program of programsOf(bench))
    for (const each of CASES) runs.push(await measure(bench, program, each));
  return {
    tables: [
      {
        title: `stalled: ${STREAMS} streams whose clients stop reading before an update of 1 MB; RSS, MB`,
        head: [
          "connections x streams, windows",
          "server",
          "before",
          "update held",
          "growth",
          "growth of the peak",
          "all have read it",
        ],
        rows: runs.map(({ name, connections, windows, openBytes, stalledBytes, peakBytes, resumedBytes }) => [
          `${connections} x ${STREAMS / connections}, ${windows}`,
          name,
          megabytes(openBytes),
          megabytes(stalledBytes),
          megabytes(stalledBytes - openBytes),
          megabytes(peakBytes - openBytes),
          megabytes(resumedBytes),
        ]),
      },
    ],
    notes: [
      "growth includes the new version itself: 1 MB and its encodings; not what the kernel buffers",
      `update held: ${SETTLE_MS / 1_000} s after a client that reads has it; then all read again, and each gets it`,
    ],
    raw: runs,
  };
}

async function measure(bench: Bench, program: RelayProgram, stalled: StalledCase): Promise<StalledRun> {
  const { connections, windows } = stalled;
  bench.progress(`stalled: ${connections} connections, windows of ${windows}, ${program.name}`);
  await using upstream = await StaticUpstream.start();
  upstream.publish(SDK_KEY, projectOfJsonBytes(FIRST_BYTES, FIRST_LCUT));
  await using started = await StreamRelay.start(bench, {
    program,
    upstream,
    pollIntervalS: 1,
    warmKey: SDK_KEY,
  });
  const { pid, grpcUrl } = started.relay;
  const open = (...shape: readonly [connections: number, streamsEach: number, windows: string]) =>
    new ClientProcess(bench, "fanout/stream-client.ts", [grpcUrl, SDK_KEY, ...shape.map(String)]);
  await using stopped = open(connections, STREAMS / connections, windows);
  await using reading = open(1, 1, "HTTP/2");
  const delivered = (client: ClientProcess) => client.next<Delivery>(DELIVERY_TIMEOUT_MS);
  const settled = () => sleep(SETTLE_MS, undefined, { signal: bench.signal });
  await delivered(stopped);
  await delivered(reading);
  // Compresses an update of the same size before the measurement, so that this is not part of the growth.
  upstream.publish(SDK_KEY, projectOfJsonBytes(OWED_BYTES, FIRST_LCUT + 1));
  await delivered(stopped);
  await delivered(reading);
  await settled();
  stopped.send("pause");
  await settled();
  const openBytes = residentBytes(pid);
  resetPeak(pid);
  upstream.publish(SDK_KEY, projectOfJsonBytes(OWED_BYTES, FIRST_LCUT + 2));
  await delivered(reading);
  await settled();
  const [stalledBytes, peakBytes] = [residentBytes(pid), peakResidentBytes(pid)];
  stopped.send("resume");
  const { lcut } = await delivered(stopped);
  if (lcut !== FIRST_LCUT + 2) throw new Error("a stalled client did not get the last version");
  await settled();
  return {
    ...stalled,
    name: program.name,
    openBytes,
    stalledBytes,
    peakBytes,
    resumedBytes: residentBytes(pid),
  };
}
