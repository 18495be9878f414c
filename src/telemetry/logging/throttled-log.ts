import type { Clock } from "../../platform/clock.ts";
import type { LogFields, Logger, LogLevel } from "./logger.ts";

const MINUTE_MS = 60_000;

/** Kinds that have a log of their own; what they are can be up to strangers. */
const MAX_KINDS = 20;

/** For what may happen any number of times: at most so many lines a minute, of which the next counts those left out. */
export class ThrottledLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #perMin: number;
  #minuteEndsAt = Number.NEGATIVE_INFINITY;
  #shown = 0;
  #leftOut = 0;

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
      this.#leftOut++;
      this.#logger.log("debug", message, fields);
      return;
    }
    this.#shown++;
    this.#logger.log(level, message, { ...fields, not_shown_before: this.#leftOut || undefined });
    this.#leftOut = 0;
  }
}

/** A throttled log for each kind, so that none hides another. Beyond a few they share one. */
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
