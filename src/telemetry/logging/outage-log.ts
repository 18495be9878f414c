import type { Clock } from "../../platform/clock.ts";
import { TokenBucket } from "../../platform/token-bucket.ts";
import type { LogFields, Logger } from "./logger.ts";

/** What people read of one kind of outage. */
export interface OutageWords {
  readonly begins: string;
  readonly lasts: string;
  readonly ends: string;
  /** The field that says how many fail; left out where there is only one that can. */
  readonly failing?: string;
}

interface Failure {
  /** One of a few words; each is an outage of its own. */
  readonly cause?: string;
  readonly fields: LogFields;
  /** How many it counts as; none where not each of them is told. */
  readonly count?: number;
}

/** While an outage lasts, it is mentioned once in this time. */
const REPEAT_MS = 60_000;

/** What has neither failed nor worked for so long is no longer tried: longer than any backoff. */
const FORGET_MS = 3 * 60_000;

/** Outages that begin and end all the time are told so often at once, and after that one in `REPEAT_MS`. */
const SHOWN_AT_ONCE = 5;

/** Of those that fail; others are not waited for. */
const MAX_SUBJECTS = 10_000;

interface Outage {
  readonly cause: string | undefined;
  readonly since: number;
  mentionedAt: number;
  isShown: boolean;
  failures: number;
  /** When each failed last. */
  readonly subjects: Map<string, number>;
}

/** Turns failures into lines that a person can read: one when they begin, one a minute, one when they end. */
export class OutageLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #words: OutageWords;
  readonly #outages = new Map<string, Outage>();
  readonly #shown: TokenBucket;
  #leftOut = 0;

  constructor(logger: Logger, clock: Clock, words: OutageWords) {
    this.#logger = logger;
    this.#clock = clock;
    this.#words = words;
    this.#shown = new TokenBucket({ capacity: SHOWN_AT_ONCE, refillPerS: 1_000 / REPEAT_MS, clock });
  }

  /** Whether it is known that this fails. */
  isGoingOn(cause = ""): boolean {
    return this.#outages.has(cause);
  }

  failed(subject: string, failure: Failure): void {
    const now = this.#clock.elapsed();
    const known = this.#outages.get(failure.cause ?? "");
    const outage = known ?? this.#begin(now, failure);
    const { subjects } = outage;
    if (subjects.has(subject) || subjects.size < MAX_SUBJECTS) subjects.set(subject, now);
    outage.failures += failure.count ?? 1;
    if (known !== undefined) this.#mention(outage, now, failure.fields);
  }

  /** It works, or is no longer asked for. True where that was a line. */
  ended(subject: string, fields: LogFields = {}): boolean {
    const now = this.#clock.elapsed();
    let isTold = false;
    for (const [key, outage] of this.#outages) {
      outage.subjects.delete(subject);
      for (const [other, failedAt] of outage.subjects)
        if (now - failedAt > FORGET_MS) outage.subjects.delete(other);
      if (outage.subjects.size > 0) continue;
      this.#outages.delete(key);
      const told = { cause: outage.cause, ...fields, ...this.#countsOf(outage, now) };
      this.#logger.log(outage.isShown ? "info" : "debug", this.#words.ends, told);
      isTold = true;
    }
    return isTold;
  }

  #begin(now: number, { cause, fields }: Failure): Outage {
    const isShown = this.#shown.take() === undefined;
    const outage = { cause, since: now, mentionedAt: now, isShown, failures: 0, subjects: new Map() };
    this.#outages.set(cause ?? "", outage);
    const before = isShown ? this.#leftOut || undefined : undefined;
    this.#leftOut = isShown ? 0 : this.#leftOut + 1;
    const told = { cause, ...fields, not_shown_before: before };
    this.#logger.log(isShown ? "warn" : "debug", this.#words.begins, told);
    return outage;
  }

  #mention(outage: Outage, now: number, fields: LogFields): void {
    const isDue = now - outage.mentionedAt >= REPEAT_MS;
    const { cause } = outage;
    const counted = { cause, ...fields, ...this.#countsOf(outage, now) };
    this.#logger.log(isDue ? "warn" : "debug", this.#words.lasts, counted);
    if (!isDue) return;
    outage.mentionedAt = now;
    outage.isShown = true;
  }

  #countsOf({ since, failures, subjects }: Outage, now: number): LogFields {
    const { failing } = this.#words;
    return {
      for_s: Math.round((now - since) / 1_000),
      failures: failures || undefined,
      ...(failing !== undefined && { [failing]: subjects.size || undefined }),
    };
  }
}
