import type { Clock } from "../../platform/clock.ts";
import { TokenBucket } from "../../platform/token-bucket.ts";
import type { LogFields, Logger } from "./logger.ts";

/** The messages of one kind of outage. */
export interface OutageMessages {
  readonly begins: string;
  readonly lasts: string;
  readonly ends: string;
  /** The name of the field that counts what fails; omitted if only one thing can fail. */
  readonly failing?: string;
}

interface Failure {
  /** One of a few values. Each cause is an outage of its own. */
  readonly cause?: string;
  readonly fields: LogFields;
  /** How many failures this is, 1 by default; 0 if failures are not reported one by one. */
  readonly count?: number;
}

/** The interval between two lines about the same outage. */
const REPEAT_MS = 60_000;

/** A subject without a failure or success for this time is no longer in use. Longer than any backoff. */
const FORGET_MS = 3 * 60_000;

/** Bounds the lines of outages that begin and end all the time: this many at once, then one per `REPEAT_MS`. */
const BURST = 5;

/** Failing subjects beyond this number do not keep an outage open. */
const MAX_SUBJECTS = 10_000;

interface Outage {
  readonly cause: string | undefined;
  readonly since: number;
  loggedAt: number;
  isShown: boolean;
  failures: number;
  /** The last failure of each, by `Clock.elapsed`. */
  readonly subjects: Map<string, number>;
}

/** Logs failures as outages: one line when an outage begins, one per minute while it lasts, and one when it ends. */
export class OutageLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #messages: OutageMessages;
  readonly #outages = new Map<string, Outage>();
  readonly #burst: TokenBucket;
  #suppressed = 0;

  constructor(logger: Logger, clock: Clock, messages: OutageMessages) {
    this.#logger = logger;
    this.#clock = clock;
    this.#messages = messages;
    this.#burst = new TokenBucket({ capacity: BURST, refillPerS: 1_000 / REPEAT_MS, clock });
  }

  isOngoing(cause = ""): boolean {
    return this.#outages.has(cause);
  }

  failed(subject: string, failure: Failure): void {
    const now = this.#clock.elapsed();
    const known = this.#outages.get(failure.cause ?? "");
    const outage = known ?? this.#begin(now, failure);
    const { subjects } = outage;
    if (subjects.has(subject) || subjects.size < MAX_SUBJECTS) subjects.set(subject, now);
    outage.failures += failure.count ?? 1;
    if (known !== undefined) this.#continue(outage, now, failure.fields);
  }

  /** Reports that the subject works, or is no longer in use. Returns true if that ended an outage, which is then logged. */
  ended(subject: string, fields: LogFields = {}): boolean {
    const now = this.#clock.elapsed();
    let hasEnded = false;
    for (const [key, outage] of this.#outages) {
      outage.subjects.delete(subject);
      for (const [other, failedAt] of outage.subjects)
        if (now - failedAt > FORGET_MS) outage.subjects.delete(other);
      if (outage.subjects.size > 0) continue;
      this.#outages.delete(key);
      const counted = { cause: outage.cause, ...fields, ...this.#countFields(outage, now) };
      this.#logger.log(outage.isShown ? "info" : "debug", this.#messages.ends, counted);
      hasEnded = true;
    }
    return hasEnded;
  }

  #begin(now: number, { cause, fields }: Failure): Outage {
    const isShown = this.#burst.take() === undefined;
    const outage = { cause, since: now, loggedAt: now, isShown, failures: 0, subjects: new Map() };
    this.#outages.set(cause ?? "", outage);
    const before = isShown ? this.#suppressed || undefined : undefined;
    this.#suppressed = isShown ? 0 : this.#suppressed + 1;
    const shown = { cause, ...fields, not_shown_before: before };
    this.#logger.log(isShown ? "warn" : "debug", this.#messages.begins, shown);
    return outage;
  }

  #continue(outage: Outage, now: number, fields: LogFields): void {
    const isDue = now - outage.loggedAt >= REPEAT_MS;
    const { cause } = outage;
    const counted = { cause, ...fields, ...this.#countFields(outage, now) };
    this.#logger.log(isDue ? "warn" : "debug", this.#messages.lasts, counted);
    if (!isDue) return;
    outage.loggedAt = now;
    outage.isShown = true;
  }

  #countFields({ since, failures, subjects }: Outage, now: number): LogFields {
    const { failing } = this.#messages;
    return {
      for_s: Math.round((now - since) / 1_000),
      failures: failures || undefined,
      ...(failing !== undefined && { [failing]: subjects.size || undefined }),
    };
  }
}
