import type { Clock } from "../../platform/clock.ts";
import type { LogFields, Logger, LogLevel } from "./logger.ts";

const MINUTE_MS = 60_000;

/** Kinds with a log of their own. Bounded, since clients can determine the kind. */
const MAX_KINDS = 20;

/** Limits the lines per minute. The next line counts the suppressed ones in `not_shown_before`; level debug shows all. */
export class ThrottledLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #perMin: number;
  #minuteEndsAt = Number.NEGATIVE_INFINITY;
  #shown = 0;
  #suppressed = 0;

  constructor(logger: Logger, clock: Clock, perMin = 1) {
    this.#logger = logger;
    this.#clock = clock;
    this.#perMin = perMin;
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    const now = this.#clock.elapsed();
    if (now >= this.#minuteEndsAt) {
      this.#minuteEndsAt = now + MINUTE_MS;
      this.#shown = 0;
    }
    if (this.#shown >= this.#perMin) {
      this.#suppressed++;
      this.#logger.log("debug", message, fields);
      return;
    }
    this.#shown++;
    this.#logger.log(level, message, { ...fields, not_shown_before: this.#suppressed || undefined });
    this.#suppressed = 0;
  }
}

/** One throttled log per kind, so that none hides another. Kinds beyond the first 20 share one. */
export class ThrottledLogs {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #perMin: number;
  readonly #logs = new Map<string, ThrottledLog>();

  constructor(logger: Logger, clock: Clock, perMin = 1) {
    this.#logger = logger;
    this.#clock = clock;
    this.#perMin = perMin;
  }

  of(kind: string): ThrottledLog {
    const name = this.#logs.has(kind) || this.#logs.size < MAX_KINDS ? kind : "other";
    const log = this.#logs.get(name) ?? new ThrottledLog(this.#logger, this.#clock, this.#perMin);
    this.#logs.set(name, log);
    return log;
  }
}
