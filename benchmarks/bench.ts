import type { Cores } from "./cores.ts";
import type { RelayProgram } from "./relay-program.ts";
import type { Table } from "./table.ts";

/** What every part of a run shares. */
export interface Bench {
  /** Fewer and shorter rounds. */
  readonly quick: boolean;
  readonly relay: RelayProgram;
  /** Undefined where processes can't be kept to cores of their own. */
  readonly cores: Cores | undefined;
  /** A directory for configurations, caches and logs, removed at the end. */
  readonly scratch: string;
  /** Ends every process and wait. */
  readonly signal: AbortSignal;
  /** Says what is being measured; no part of the result. */
  readonly progress: (doing: string) => void;
}

export interface PartResult {
  readonly tables: readonly Table[];
  /** What a reader must know to trust the tables. */
  readonly notes: readonly string[];
  /** For `--json`: every single measurement. */
  readonly raw: unknown;
}

/** A part of the suite, selectable by its name. */
export interface Part {
  readonly name: string;
  /** Debian's commands without which it can't run. */
  readonly needs: readonly string[];
  readonly run: (bench: Bench) => Promise<PartResult>;
}
