import type { Cores } from "./cores.ts";
import type { RelayProgram } from "./relay-program.ts";
import type { Table } from "./table.ts";

/** Shared by all parts of a run. */
export interface Bench {
  /** Run fewer and shorter rounds. */
  readonly quick: boolean;
  readonly relay: RelayProgram;
  /** Another version of the relay, which some parts measure as well. */
  readonly baseline: RelayProgram | undefined;
  /** Undefined if processes cannot be pinned to separate cores. */
  readonly cores: Cores | undefined;
  /** Directory for configurations, caches and logs. It is removed at the end. */
  readonly scratch: string;
  /** Aborts all processes and waits. */
  readonly signal: AbortSignal;
  /** Shows on a terminal what is being measured. */
  readonly progress: (doing: string) => void;
}

/** Returns the relay and, if there is one, the baseline. */
export function programsOf({ relay, baseline }: Bench): readonly RelayProgram[] {
  return baseline === undefined ? [relay] : [relay, baseline];
}

export interface PartResult {
  readonly tables: readonly Table[];
  /** What readers need to know to interpret the tables. */
  readonly notes: readonly string[];
  /** All single measurements, for `--json`. */
  readonly raw: unknown;
}

/** A part of the suite that can be selected by name. */
export interface Part {
  readonly name: string;
  /** Commands that it requires. */
  readonly needs: readonly string[];
  readonly run: (bench: Bench) => Promise<PartResult>;
}
