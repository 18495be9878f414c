import type { Clock } from "../../clock.ts";
import type { SpecEvent } from "../../specs/events.ts";
import { type Feed, feedId } from "../../specs/feed.ts";
import type { BackupUseEvent } from "../relay-event.ts";
import type { Poll, PollError, PollOutcome } from "./feed-report.ts";
import { isoOf } from "./moment.ts";

/** What polls of a feed came to. */
export interface FeedPolls {
  lastPoll?: Poll;
  lastError?: PollError;
  /** By `Clock.elapsed`. */
  lastErrorElapsed: number;
  /** Ms since the Unix epoch; undefined where the last poll did not fail. */
  failingSince?: number | undefined;
}

/** Polls wait longer for their turn than the interval. */
export interface PollDelay {
  readonly since: number;
  readonly waitedMs: number;
  readonly intervalMs: number;
}

/** What requests to upstream came to, of whatever feed. */
export interface UpstreamPolls {
  delayed?: PollDelay | undefined;
  lastSuccessAt?: number;
  lastError?: PollError;
  failingSince?: number | undefined;
}

interface Failure {
  readonly outcome: PollOutcome;
  readonly reason: string;
  readonly detail: string;
  readonly tookMs: number;
}

/** Remembers polls: of feeds that are held or preloaded, and never longer than that. */
export class PollMemory {
  readonly upstream: UpstreamPolls = {};
  readonly #clock: Clock;
  #preloaded: ReadonlySet<string>;
  readonly #feeds = new Map<string, FeedPolls>();

  constructor(clock: Clock, preload: readonly Feed[]) {
    this.#clock = clock;
    this.#preloaded = new Set(preload.map(feedId));
  }

  /** From now on these are polled, held or not. */
  preload(feeds: readonly Feed[]): void {
    this.#preloaded = new Set(feeds.map(feedId));
  }

  of(feed: Feed): FeedPolls | undefined {
    return this.#feeds.get(feedId(feed));
  }

  isPreloaded(feed: Feed): boolean {
    return this.#preloaded.has(feedId(feed));
  }

  /** It is no longer held. */
  forget(feed: Feed): void {
    if (!this.isPreloaded(feed)) this.#feeds.delete(feedId(feed));
  }

  write(event: Exclude<SpecEvent, BackupUseEvent>): void {
    switch (event.kind) {
      case "spec_updated":
        if (event.snapshot.source === "upstream")
          this.#succeeded(event.snapshot.feed, "updated", event.tookMs);
        return;
      case "spec_unchanged":
        this.#succeeded(event.feed, "unchanged", event.tookMs);
        return;
      case "spec_refused":
        this.#failed(event, { ...event, outcome: "refused" });
        return;
      case "spec_fetch_failed":
        this.#failed(event, { ...event, outcome: "failed", reason: event.cause });
        return;
      case "spec_unauthorized": {
        const detail = `upstream answered ${event.status}`;
        const failure = { ...event, outcome: "unauthorized", reason: "unauthorized", detail } as const;
        this.#failed({ feed: event.feed, held: event.whatIsHeld === "kept" }, failure);
        return;
      }
      case "spec_polls_delayed": {
        const { waitedMs, intervalMs } = event;
        const since = this.upstream.delayed?.since ?? this.#clock.now();
        this.upstream.delayed = { since, waitedMs, intervalMs };
        return;
      }
      case "spec_polls_on_time":
        this.upstream.delayed = undefined;
        return;
      case "fleet_looked":
      case "spec_evicted":
      case "spec_not_held":
      case "spec_poll_began":
    }
  }

  #succeeded(feed: Feed, outcome: PollOutcome, tookMs: number): void {
    const now = this.#clock.now();
    this.upstream.lastSuccessAt = now;
    this.upstream.failingSince = undefined;
    const polls = this.#entry(feed);
    polls.lastPoll = pollOf(now, outcome, tookMs);
    polls.failingSince = undefined;
  }

  #failed({ feed, held }: { readonly feed: Feed; readonly held: boolean }, failure: Failure): void {
    const { outcome, reason, detail, tookMs } = failure;
    const now = this.#clock.now();
    const error = { at: isoOf(now), reason, detail };
    // What upstream says of one key or one payload is no failure of upstream's.
    if (outcome === "failed") {
      this.upstream.lastError = error;
      this.upstream.failingSince ??= now;
    }
    if (!held && !this.isPreloaded(feed)) return;
    const polls = this.#entry(feed);
    polls.lastPoll = pollOf(now, outcome, tookMs);
    polls.lastError = error;
    polls.lastErrorElapsed = this.#clock.elapsed();
    polls.failingSince ??= now;
  }

  #entry(feed: Feed): FeedPolls {
    const id = feedId(feed);
    const entry = this.#feeds.get(id) ?? { lastErrorElapsed: Number.NEGATIVE_INFINITY };
    this.#feeds.set(id, entry);
    return entry;
  }
}

function pollOf(now: number, outcome: PollOutcome, tookMs: number): Poll {
  return { at: isoOf(now), outcome, took_ms: Math.round(tookMs) };
}
