import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Part, PartResult } from "./bench.ts";
import { residentBytes } from "./proc-stats.ts";
import { projectOfJsonBytes } from "./project.ts";
import type { RelayProgram } from "./relay-program.ts";
import { RelayServer } from "./relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "./static-upstream.ts";
import { spreadOf } from "./statistics.ts";
import { megabytes, ms, spread } from "./table.ts";

const SDK_KEY = "secret-bench-startup";
export const IDLE_AFTER_MS = 1_000;

/** One start, and a second one whose first request is for config specs. */
export interface Start {
  /** From the spawn of the process to the first 200. */
  readonly healthMs: number;
  readonly specsMs: number;
  /** Resident memory after {@link IDLE_AFTER_MS}, with no key cached. */
  readonly idleBytes: number;
}

/** Measures the time from the spawn of the process to its first response, and its memory when idle. */
export const startupPart: Part = { name: "startup", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  await using upstream = await StaticUpstream.start();
  publishStartupKey(upstream);
  const starts: Start[] = [];
  const rounds = bench.quick ? 3 : 10;
  for (let round = 0; round < rounds; round++) {
    bench.progress(`startup: ${round + 1} of ${rounds}`);
    starts.push(await measureStart(bench, upstream, bench.relay));
  }
  const of = (pick: (start: Start) => number, format: (value: number) => string) =>
    spread(spreadOf(starts.map(pick)), format);
  const size = bench.relay.sizeBytes;
  const rows = [
    ["spawn to first 200 of /v1/health, ms", of((start) => start.healthMs, ms)],
    ["spawn to first 200 with 20 KB specs from upstream, ms", of((start) => start.specsMs, ms)],
    [
      `RSS ${IDLE_AFTER_MS / 1_000} s after that health check, no key cached, MB`,
      of((start) => start.idleBytes, megabytes),
    ],
    ["executable, MB", size === undefined ? "run from source" : megabytes(size)],
  ];
  return {
    tables: [{ title: `startup: ${rounds} starts, median (min-max)`, head: ["what", "value"], rows }],
    notes: ["the client retries every millisecond while the connection is refused"],
    raw: { starts, sizeBytes: size },
  };
}

/** Publishes the config specs that {@link measureStart} requests. */
export function publishStartupKey(upstream: StaticUpstream): void {
  upstream.publish(SDK_KEY, projectOfJsonBytes(20_000, FIRST_LCUT));
}

export async function measureStart(
  bench: Bench,
  upstream: StaticUpstream,
  program: RelayProgram,
): Promise<Start> {
  const options = { program, upstream, cores: bench.cores?.server };
  const health = await RelayServer.start(bench, options);
  await using idle = health;
  await sleep(IDLE_AFTER_MS, undefined, { signal: bench.signal });
  const idleBytes = residentBytes(idle.pid);
  await using specs = await RelayServer.start(bench, options, specPath(SDK_KEY));
  return { healthMs: idle.startMs, specsMs: specs.startMs, idleBytes };
}
