import type { Bench } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { CHOICES, type Choice } from "./proto-project.ts";

/** The default of `--delta-history`. */
export const HISTORY_DEPTH = 16;

/** Code is slow when it first runs. */
export const WARM_UP_ROUNDS = 3;

/** Numbers of entities that each version changes. */
export const CHANGED = [1, 10, 1_000];

const TIMEOUT_MS = 120_000;

/** One preparation of a version. */
export interface Preparing {
  readonly tookMs: number;
  /** CPU time of all threads of the process. */
  readonly cpuMs: number;
}

/** Preparations of one version with a full history, and without one. */
export interface DeltaTimes {
  readonly entities: number;
  readonly jsonBytes: number;
  readonly protoBytes: number;
  readonly fullBytes: number;
  readonly historyBytes: number;
  /** Size of each delta, from the latest versions first. */
  readonly deltaBytes: readonly number[];
  /** Number of earlier versions that have a delta. */
  readonly bases: number;
  readonly without: readonly Preparing[];
  readonly withDeltas: readonly Preparing[];
}

export interface DeltaTimesCase extends DeltaTimes {
  readonly changed: number;
  readonly choice: Choice;
}

/**
 * Measures `prepare` in a process of its own, on the core of the client, without other load. The relay's Worker runs the same
 * function.
 */
export async function measureDeltaTimes(bench: Bench): Promise<DeltaTimesCase[]> {
  const cases: DeltaTimesCase[] = [];
  for (const changed of CHANGED) {
    for (const choice of CHOICES) {
      bench.progress(`deltas: preparing, ${changed} changed, ${choice} entities`);
      const args = [changed, choice, bench.quick ? 5 : 15].map(String);
      await using client = new ClientProcess(bench, "deltas/delta-times-client.ts", args);
      cases.push({ changed, choice, ...(await client.next<DeltaTimes>(TIMEOUT_MS)) });
    }
  }
  return cases;
}
