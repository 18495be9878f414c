import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, type Part, type PartResult, programsOf } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { cpuSince, cpuTime, peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { projectOfJsonBytes } from "../project.ts";
import type { RelayProgram } from "../relay-program.ts";
import { FIRST_LCUT, StaticUpstream } from "../static-upstream.ts";
import { count, megabytes } from "../table.ts";
import { CYCLE_KINDS, type CyclesDone } from "./cycle-kinds.ts";
import { StreamRelay } from "./stream-relay.ts";

const SDK_KEY = "secret-bench-cycles";
const MESSAGE_BYTES = 20_000;
/** Before the first row, so that the heap has its size. */
const WARM_UP = 10_000;
const STEPS = 5;
/** For the garbage collector. */
const SETTLE_MS = 5_000;
const STEP_TIMEOUT_MS = 300_000;

interface Sample {
  readonly name: string;
  readonly cycles: number;
  readonly bytes: number;
  readonly peakBytes: number;
  /** CPU time of each cycle since the row before. */
  readonly cpuUs: number;
  readonly openStreams: number;
  readonly ofFeeds: number;
}

/** Measures what 100,000 streams that clients cancel leave behind. */
export const openCancelPart: Part = { name: "open-cancel", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const cycles = bench.quick ? 20_000 : 100_000;
  const samples: Sample[] = [];
  for (const program of programsOf(bench)) samples.push(...(await measure(bench, program, cycles)));
  return {
    tables: [
      {
        title: "open-cancel: StreamConfigSpec opened and cancelled",
        head: ["cycles", "server", "RSS MB", "peak MB", "CPU us/cycle", "open streams", "of feeds"],
        rows: samples.map(({ name, bytes, peakBytes, cpuUs, openStreams, ofFeeds, ...sample }) => [
          count(sample.cycles),
          name,
          megabytes(bytes),
          megabytes(peakBytes),
          count(cpuUs),
          String(openStreams),
          String(ofFeeds),
        ]),
      },
    ],
    notes: [
      `on ${CYCLE_KINDS.length * 20} connections, a fifth of each kind: ${CYCLE_KINDS.join(", ")}`,
      `config of ${MESSAGE_BYTES / 1_000} KB; RSS and open streams ${SETTLE_MS / 1_000} s after the cycles, peak while they run`,
    ],
    raw: samples,
  };
}

async function measure(bench: Bench, program: RelayProgram, cycles: number): Promise<Sample[]> {
  await using upstream = await StaticUpstream.start();
  upstream.publish(SDK_KEY, projectOfJsonBytes(MESSAGE_BYTES, FIRST_LCUT));
  const args = ["--http2-max-resets-per-min", "1000000"];
  await using started = await StreamRelay.start(bench, { program, upstream, args, warmKey: SDK_KEY });
  const { pid, grpcUrl } = started.relay;
  await using client = new ClientProcess(bench, "streams/cycle-client.ts", [
    ...[grpcUrl, SDK_KEY, String(MESSAGE_BYTES)],
  ]);
  const samples: Sample[] = [];
  let done = 0;
  const sampleAfter = async (more: number) => {
    bench.progress(`open-cancel: ${count(done + more)} cycles, ${program.name}`);
    resetPeak(pid);
    const before = cpuTime(pid);
    client.send(more);
    const finished = await client.next<CyclesDone>(STEP_TIMEOUT_MS);
    const cycles = Object.values(finished).reduce((sum, each) => sum + each, 0);
    const cpuUs = (cpuSince(pid, before).processMs * 1_000) / cycles;
    done += cycles;
    await sleep(SETTLE_MS, undefined, { signal: bench.signal });
    const { all: openStreams, ofFeeds } = await started.openStreams();
    const [bytes, peakBytes] = [residentBytes(pid), peakResidentBytes(pid)];
    samples.push({ name: program.name, cycles: done, bytes, peakBytes, cpuUs, openStreams, ofFeeds });
  };
  await sampleAfter(WARM_UP);
  for (let step = 0; step < STEPS; step++) await sampleAfter(cycles / STEPS);
  return samples;
}
