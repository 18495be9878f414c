import type { Clock } from "../../platform/clock.ts";
import { toIso } from "./schema.ts";
import type { TimedError } from "./timestamp.ts";

/** Something that is wrong: the reason, and since when (ms since the Unix epoch). */
export interface Incident {
  readonly since: number;
  readonly reason: string;
}

/** The most recent error of one subject. */
export class LatestError {
  readonly #clock: Clock;
  /** Ms since the Unix epoch; 0 before the first error. */
  at = 0;
  error: TimedError | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  record(detail: string): void {
    this.at = this.#clock.now();
    this.error = { at: toIso(this.at), detail };
  }
}
