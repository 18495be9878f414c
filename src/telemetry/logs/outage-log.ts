import type { Clock } from "../../clock.ts";
import type { Logger } from "./logger.ts";

/** While an outage lasts, it is mentioned once in this time. */
const REPEAT_MS = 60_000;

/** A feed that has neither failed nor worked for so long is no longer tried: longer than any backoff. */
const FORGET_MS = 3 * 60_000;

interface Outage {
  readonly since: number;
  mentionedAt: number;
  failures: number;
  /** When each feed failed last. */
  readonly feeds: Map<string, number>;
}

/** Turns failing polls into lines that a person can read: one when it begins, one a minute, one when it ends. */
export class OutageLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #outages = new Map<string, Outage>();

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** `cause` is one of a few words, `feed` for people. */
  failed(cause: string, feed: string, detail: string): void {
    const now = this.#clock.now();
    const outage = this.#outages.get(cause);
    if (outage === undefined) {
      this.#outages.set(cause, { since: now, mentionedAt: now, failures: 1, feeds: new Map([[feed, now]]) });
      this.#logger.log("warn", "upstream failing, serving what is held", { cause, detail, feed });
      return;
    }
    outage.failures++;
    outage.feeds.set(feed, now);
    if (now - outage.mentionedAt < REPEAT_MS) return;
    outage.mentionedAt = now;
    this.#logger.log("warn", "upstream still failing", { cause, detail, ...countsOf(outage, now) });
  }

  /** The feed works, or is no longer asked for. */
  ended(feed: string): void {
    const now = this.#clock.now();
    for (const [cause, outage] of this.#outages) {
      const wasFailing = outage.feeds.delete(feed);
      for (const [other, failedAt] of outage.feeds)
        if (now - failedAt > FORGET_MS) outage.feeds.delete(other);
      if (outage.feeds.size > 0) continue;
      this.#outages.delete(cause);
      if (wasFailing) this.#logger.log("info", "upstream works again", { cause, ...countsOf(outage, now) });
    }
  }
}

function countsOf(outage: Outage, now: number) {
  return {
    for_s: Math.round((now - outage.since) / 1_000),
    failed_requests: outage.failures,
    failing_feeds: outage.feeds.size || undefined,
  };
}
