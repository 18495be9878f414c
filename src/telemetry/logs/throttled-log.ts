import type { Clock } from "../../clock.ts";
import type { LogFields, Logger, LogLevel } from "./logger.ts";

const THROTTLE_MS = 60_000;

/** For what strangers can cause at will: at most one line a minute, which counts those left out. */
export class ThrottledLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  #quietUntil = Number.NEGATIVE_INFINITY;
  #leftOut = 0;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  log(level: LogLevel, message: string, fields: LogFields): void {
    const now = this.#clock.elapsed();
    if (now < this.#quietUntil) {
      this.#leftOut++;
      this.#logger.log("debug", message, fields);
      return;
    }
    this.#logger.log(level, message, { ...fields, not_shown_before: this.#leftOut || undefined });
    this.#quietUntil = now + THROTTLE_MS;
    this.#leftOut = 0;
  }
}
