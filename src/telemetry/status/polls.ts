import type { Clock } from "../../platform/clock.ts";
import { type Feed, feedId } from "../../specs/feed.ts";
import { type Poll, type PollError, type PollOutcome, toIso } from "./schema.ts";

/** The results of the polls of one feed. */
export interface FeedPolls {
  lastPoll?: Poll;
  lastError?: PollError;
  /** When the last error happened, by `Clock.elapsed`. */
  lastErrorElapsed: number;
  /** Ms since the Unix epoch; undefined if the last poll did not fail. */
  failingSince?: number | undefined;
}

/** Polls wait longer for a request slot than the polling interval. */
export interface PollDelay {
  /** Ms since the Unix epoch. */
  readonly since: number;
  readonly waitedMs: number;
  readonly intervalMs: number;
}

/** The results of requests to upstream, for all feeds together. Times are ms since the Unix epoch. */
export interface UpstreamPolls {
  delayed?: PollDelay | undefined;
  lastSuccessAt?: number;
  lastError?: PollError;
  failingSince?: number | undefined;
}

interface PollFailure {
  readonly outcome: PollOutcome;
  readonly reason: string;
  readonly detail: string;
  readonly tookMs: number;
}

/** The poll results that the status page shows. Keeps results of single feeds only while they are cached or preloaded. */
export class PollStatus {
  readonly upstream: UpstreamPolls = {};
  readonly #clock: Clock;
  #preloaded: ReadonlySet<string>;
  readonly #feeds = new Map<string, FeedPolls>();

  constructor(clock: Clock, preload: readonly Feed[]) {
    this.#clock = clock;
    this.#preloaded = new Set(preload.map(feedId));
  }

  /** Replaces the set of preloaded feeds. */
  preload(feeds: readonly Feed[]): void {
    this.#preloaded = new Set(feeds.map(feedId));
  }

  /** Returns undefined if the feed has not been polled. */
  find(feed: Feed): FeedPolls | undefined {
    return this.#feeds.get(feedId(feed));
  }

  isPreloaded(feed: Feed): boolean {
    return this.#preloaded.has(feedId(feed));
  }

  /** Drops the results of a feed that is no longer cached, unless it is preloaded. */
  forget(feed: Feed): void {
    if (!this.isPreloaded(feed)) this.#feeds.delete(feedId(feed));
  }

  succeeded(feed: Feed, outcome: PollOutcome, tookMs: number): void {
    const now = this.#clock.now();
    this.upstream.lastSuccessAt = now;
    this.upstream.failingSince = undefined;
    const polls = this.#entry(feed);
    polls.lastPoll = toPoll(now, outcome, tookMs);
    polls.failingSince = undefined;
  }

  failed({ feed, held }: { readonly feed: Feed; readonly held: boolean }, failure: PollFailure): void {
    const { outcome, reason, detail, tookMs } = failure;
    const now = this.#clock.now();
    const error = { at: toIso(now), reason, detail };
    // A rejected key or payload says nothing about upstream as a whole.
    if (outcome === "failed") {
      this.upstream.lastError = error;
      this.upstream.failingSince ??= now;
    }
    if (!held && !this.isPreloaded(feed)) return;
    const polls = this.#entry(feed);
    polls.lastPoll = toPoll(now, outcome, tookMs);
    polls.lastError = error;
    polls.lastErrorElapsed = this.#clock.elapsed();
    polls.failingSince ??= now;
  }

  delayed(waitedMs: number, intervalMs: number): void {
    const since = this.upstream.delayed?.since ?? this.#clock.now();
    this.upstream.delayed = { since, waitedMs, intervalMs };
  }

  onTime(): void {
    this.upstream.delayed = undefined;
  }

  #entry(feed: Feed): FeedPolls {
    const id = feedId(feed);
    const entry = this.#feeds.get(id) ?? { lastErrorElapsed: Number.NEGATIVE_INFINITY };
    this.#feeds.set(id, entry);
    return entry;
  }
}

function toPoll(now: number, outcome: PollOutcome, tookMs: number): Poll {
  return { at: toIso(now), outcome, took_ms: Math.round(tookMs) };
}
