import type { Clock } from "../../platform/clock.ts";
import { TokenBucket } from "../../platform/token-bucket.ts";
import type { LogFields, Logger } from "./logger.ts";

/** The messages of one kind of outage. */
export interface OutageMessages {
  readonly begins: string;
  /** Also of the line for another cause of the same outage. */
  readonly lasts: string;
  readonly ends: string;
  /** The name of the field that counts what fails; omitted if only one thing can fail. */
  readonly failing?: string;
  /** The name of the field with the cause, if the fields of a failure have it; otherwise `cause` is added. */
  readonly causeField?: string;
}

interface Failure {
  /** One of a few values. What fails for different causes are different outages, unless one cause follows the other. */
  readonly cause?: string;
  /** The cause concerns the subject alone, and shows that what others need works: a rejected key, an invalid payload. */
  readonly isOwn?: boolean;
  readonly fields?: LogFields;
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

/** Further causes of one outage have no line of their own. */
const MAX_CAUSES = 8;

interface Outage {
  readonly cause: string;
  readonly isOwn: boolean;
  since: number;
  loggedAt: number;
  isShown: boolean;
  failures: number;
  /** The causes that the outage has had and that lines have named, its own included. */
  readonly causes: Set<string>;
  /** The last failure of each, by `Clock.elapsed`. */
  readonly subjects: Map<string, number>;
  /** Whether one of its subjects works again, while others may have gone on to fail for another cause. */
  hasRecovered: boolean;
}

/**
 * Logs failures as outages: one line when an outage begins, one for each further cause, one per minute while it lasts, and one when
 * it ends.
 *
 * If all subjects of an outage go on to fail for another cause, that is the same outage with another cause; if only some do, there are
 * two. A cause that concerns one subject alone is an outage of its own, beside any other: it neither becomes another one nor ends it late.
 */
export class OutageLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #messages: OutageMessages;
  /** The key is the cause. */
  readonly #outages = new Map<string, Outage>();
  readonly #burst: TokenBucket;
  #suppressed = 0;

  constructor(logger: Logger, clock: Clock, messages: OutageMessages) {
    this.#logger = logger;
    this.#clock = clock;
    this.#messages = messages;
    this.#burst = new TokenBucket({ capacity: BURST, refillPerS: 1_000 / REPEAT_MS, clock });
  }

  /** Whether there is an outage of this cause, or of any if none is given. */
  isOngoing(cause?: string): boolean {
    return cause === undefined ? this.#outages.size > 0 : this.#outages.has(cause);
  }

  failed(subject: string, failure: Failure): void {
    const { cause = "", fields = {}, count = 1 } = failure;
    const now = this.#clock.elapsed();
    const left = this.#leave(subject, failure, now);
    const known = this.#outages.get(cause);
    const outage = known ?? this.#begin(now, failure, left);
    const { subjects } = outage;
    if (subjects.has(subject) || subjects.size < MAX_SUBJECTS) subjects.set(subject, now);
    outage.failures += count;
    if (left !== undefined && left.subjects.size === 0) this.#succeed(left, outage, now);
    if (known !== undefined) this.#continue(outage, now, fields);
  }

  /** Reports that the subject works, or is no longer in use. Returns true if that ended an outage, which is then logged. */
  ended(subject: string, fields: LogFields = {}): boolean {
    const now = this.#clock.elapsed();
    let hasEnded = false;
    for (const outage of this.#outages.values()) {
      if (outage.subjects.delete(subject)) outage.hasRecovered = true;
      for (const [other, failedAt] of outage.subjects)
        if (now - failedAt > FORGET_MS) outage.subjects.delete(other);
      if (outage.subjects.size > 0) continue;
      this.#end(outage, now, fields);
      hasEnded = true;
    }
    return hasEnded;
  }

  /** Takes the subject out of outages that the failure shows to be over for it. Returns the one that continues with another cause. */
  #leave(subject: string, { cause = "", isOwn = false }: Failure, now: number): Outage | undefined {
    let left: Outage | undefined;
    for (const outage of this.#outages.values()) {
      if (outage.cause === cause || !outage.subjects.has(subject)) continue;
      // While nothing works, it is not known whether the subject would still fail for its own cause.
      if (outage.isOwn && !isOwn) continue;
      outage.subjects.delete(subject);
      if (!isOwn) left = outage;
      else if (outage.subjects.size === 0) this.#end(outage, now, {});
      else outage.hasRecovered = true;
    }
    return left;
  }

  /** With `left`, the outage continues that one, which may have other subjects that still fail for its cause. */
  #begin(now: number, failure: Failure, left: Outage | undefined): Outage {
    const { cause = "", isOwn = false, fields = {} } = failure;
    const isTold = left !== undefined && (left.causes.has(cause) || left.causes.size >= MAX_CAUSES);
    const isShown = left === undefined ? this.#burst.take() === undefined : left.isShown;
    const causes = new Set([...(left?.causes ?? []), cause].slice(0, MAX_CAUSES));
    const outage: Outage = {
      ...{ cause, isOwn, since: now, loggedAt: now, isShown, failures: 0, causes },
      ...{ subjects: new Map(), hasRecovered: false },
    };
    this.#outages.set(cause, outage);
    if (left !== undefined) {
      const counted = { ...this.#showCause(cause), ...fields, ...this.#countFields(left, now) };
      this.#logger.log(isShown && !isTold ? "warn" : "debug", this.#messages.lasts, counted);
      return outage;
    }
    const before = isShown ? this.#suppressed || undefined : undefined;
    this.#suppressed = isShown ? 0 : this.#suppressed + 1;
    const shown = { ...this.#showCause(cause), ...fields, not_shown_before: before };
    this.#logger.log(isShown ? "warn" : "debug", this.#messages.begins, shown);
    return outage;
  }

  /** All subjects of `left` that have not recovered fail for another cause now. */
  #succeed(left: Outage, outage: Outage, now: number): void {
    if (left.hasRecovered) {
      this.#end(left, now, {});
      return;
    }
    this.#outages.delete(left.cause);
    outage.since = Math.min(outage.since, left.since);
    outage.failures += left.failures;
    outage.isShown ||= left.isShown;
    for (const cause of left.causes) if (outage.causes.size < MAX_CAUSES) outage.causes.add(cause);
  }

  #continue(outage: Outage, now: number, fields: LogFields): void {
    const isDue = now - outage.loggedAt >= REPEAT_MS;
    const counted = {
      ...this.#showCause(outage.cause),
      ...fields,
      ...this.#countFields(outage, now),
    };
    this.#logger.log(isDue ? "warn" : "debug", this.#messages.lasts, counted);
    if (!isDue) return;
    outage.loggedAt = now;
    outage.isShown = true;
  }

  /** Names all causes that the outage has had. */
  #end(outage: Outage, now: number, fields: LogFields): void {
    this.#outages.delete(outage.cause);
    const { causeField = "cause" } = this.#messages;
    const causes = [...outage.causes].join(", ") || undefined;
    const counted = { [causeField]: causes, ...fields, ...this.#countFields(outage, now) };
    this.#logger.log(outage.isShown ? "info" : "debug", this.#messages.ends, counted);
  }

  #showCause(cause: string): LogFields {
    return cause === "" || this.#messages.causeField !== undefined ? {} : { cause };
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
