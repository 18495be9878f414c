import { setTimeout as sleep } from "node:timers/promises";
import { StreamConnection } from "../../tests/support/clients/stream-connection.ts";
import { type Bench, type Part, type PartResult, programsOf } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { cpuSince, cpuTime, peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { projectOfJsonBytes } from "../project.ts";
import type { RelayProgram } from "../relay-program.ts";
import { FIRST_LCUT, StaticUpstream } from "../static-upstream.ts";
import { spreadOf } from "../statistics.ts";
import { megabytes, spread } from "../table.ts";
import type { StormOrder, StormResult } from "./storm.ts";
import { StreamRelay } from "./stream-relay.ts";

const SDK_KEY = "secret-bench-storm";
const STREAMS = 5_000;
const MESSAGE_BYTES = 100_000;
const SETTLE_MS = 3_000;
const STORM_TIMEOUT_MS = 120_000;

/** How the streams are lost. */
const LOSSES = ["relay restarted", "connections cut"] as const;

interface StormCase {
  readonly connections: number;
  readonly loss: (typeof LOSSES)[number];
  /** Says whether clients have the newest version, or none. */
  readonly sinceTime: number;
}

interface Storm extends StormResult {
  readonly restingBytes: number;
  readonly peakBytes: number;
  readonly cpuMs: number;
  /** Requests for config specs to upstream. */
  readonly fetches: number;
}

interface StormRun extends StormCase {
  readonly name: string;
  readonly storms: readonly Storm[];
}

const CASES: readonly StormCase[] = [5_000, 50].flatMap((connections) =>
  LOSSES.flatMap((loss) => [0, FIRST_LCUT].map((sinceTime) => ({ connections, loss, sinceTime }))),
);

/** Measures 5,000 clients that lose their streams and open them again at once. */
export const stormPart: Part = { name: "storm", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const runs: StormRun[] = [];
  for (const program of programsOf(bench))
    for (const each of CASES) runs.push(await measure(bench, program, each));
  const whole = (value: number) => value.toFixed(0);
  return {
    tables: [
      {
        title: `storm: ${STREAMS} streams of ${MESSAGE_BYTES / 1_000} KB are lost and opened again at once, median (min-max)`,
        head: [
          "connections x streams, loss, clients",
          "server",
          "all connected ms",
          "half have a message ms",
          "all have one ms",
          "CPU ms",
          "RSS before MB",
          "RSS peak MB",
          "retries",
          "fetches",
        ],
        rows: runs.map(({ name, connections, loss, sinceTime, storms }) => {
          const of = (pick: (storm: Storm) => number, format = whole) =>
            spread(spreadOf(storms.map(pick)), format);
          return [
            `${connections} x ${STREAMS / connections}, ${loss}, ${sinceTime === 0 ? "without a version" : "with the newest"}`,
            name,
            of(({ connectedMs }) => connectedMs),
            of(({ medianMs }) => medianMs),
            of(({ lastMs }) => lastMs),
            of(({ cpuMs }) => cpuMs),
            of(({ restingBytes }) => restingBytes, megabytes),
            of(({ peakBytes }) => peakBytes, megabytes),
            of(({ retries }) => retries),
            of(({ fetches }) => fetches),
          ];
        }),
      },
    ],
    notes: [
      "clients in one other process; clients with the newest version get no_update, those without get the config",
      "a restarted relay has nothing cached; the time begins when it is up",
      "fetches: requests to upstream since the relay was restarted, or since the cut",
    ],
    raw: runs,
  };
}

async function measure(bench: Bench, program: RelayProgram, each: StormCase): Promise<StormRun> {
  const { connections, loss, sinceTime } = each;
  bench.progress(`storm: ${connections} connections, ${loss}, ${program.name}`);
  await using upstream = await StaticUpstream.start();
  upstream.publish(SDK_KEY, projectOfJsonBytes(MESSAGE_BYTES, FIRST_LCUT));
  let started = await StreamRelay.start(bench, { program, upstream });
  try {
    const { grpcUrl, ports } = started.relay;
    const clientArgs = [grpcUrl, SDK_KEY, connections, STREAMS / connections].map(String);
    await using client = new ClientProcess(bench, "streams/storm-client.ts", clientArgs);
    const storm = (order: StormOrder) => {
      client.send(order);
      return client.next<StormResult>(STORM_TIMEOUT_MS);
    };
    await storm({ sinceTime: 0 });
    const storms: Storm[] = [];
    for (let round = 0; round < (bench.quick ? 1 : 3); round++) {
      await sleep(SETTLE_MS, undefined, { signal: bench.signal });
      const fetchesBefore = upstream.requests;
      if (loss === "relay restarted") {
        await started.relay.kill();
        started = await StreamRelay.start(bench, { program, upstream, ports });
        await untilAnswers(bench, grpcUrl);
      }
      const { pid } = started.relay;
      const restingBytes = residentBytes(pid);
      resetPeak(pid);
      const before = cpuTime(pid);
      const result = await storm({ sinceTime });
      const cpuMs = cpuSince(pid, before).processMs;
      const fetches = upstream.requests - fetchesBefore;
      storms.push({ ...result, restingBytes, peakBytes: peakResidentBytes(pid), cpuMs, fetches });
    }
    return { ...each, name: program.name, storms };
  } finally {
    await started[Symbol.asyncDispose]();
  }
}

/** The HTTP port, whose answer shows that a relay is up, may be open before the gRPC port. */
async function untilAnswers(bench: Bench, grpcUrl: string): Promise<void> {
  for (;;) {
    try {
      using connection = await StreamConnection.open(grpcUrl);
      await connection.ping();
      return;
    } catch {
      await sleep(5, undefined, { signal: bench.signal });
    }
  }
}
