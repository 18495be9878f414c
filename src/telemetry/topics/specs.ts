import { LRUCache } from "lru-cache";
import type { Clock } from "../../platform/clock.ts";
import type { SpecEvent } from "../../specs/events.ts";
import { describeFeed, type Feed, feedId } from "../../specs/feed.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLog, ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import { type FeedTags, tagsForUnknownKey, toTags } from "../metrics/tags.ts";
import { type Poll, type PollError, type PollOutcome, toIso } from "../status/schema.ts";
import type { BackupUseEvent } from "../telemetry.ts";

const WORDS = {
  begins: "upstream failing, serving what is held",
  lasts: "upstream still failing",
  ends: "upstream works again",
  failing: "failing_feeds",
};

const DELAY_WORDS = {
  begins: "polls wait longer for their turn than the polling interval",
  lasts: "polls still wait longer for their turn than the polling interval",
  ends: "polls begin in time again",
};

/** Each is one, but a flood of them tells no more than that it is one. */
const UPDATES_PER_MIN = 600;

type SpecLogEvent = Exclude<SpecEvent, BackupUseEvent>;

/** Of one feed. */
type FeedLogEvent = Exclude<SpecLogEvent, { kind: `spec_poll${string}` | "fleet_looked" }>;

/** Log lines of what happens between upstream and memory. */
export class SpecLog {
  readonly #logger: Logger;
  readonly #outages: OutageLog;
  readonly #delays: OutageLog;
  readonly #throttled: ThrottledLogs;
  readonly #updates: ThrottledLog;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#outages = new OutageLog(logger, clock, WORDS);
    this.#delays = new OutageLog(logger, clock, DELAY_WORDS);
    this.#throttled = new ThrottledLogs(logger, clock);
    this.#updates = new ThrottledLog(logger, clock, UPDATES_PER_MIN);
  }

  write(event: SpecLogEvent): void {
    switch (event.kind) {
      case "fleet_looked":
      case "spec_poll_began":
        debugLine(this.#logger, event);
        return;
      case "spec_polls_delayed": {
        const fields = {
          waited_ms: Math.round(event.waitedMs),
          interval_ms: event.intervalMs,
          option: "--update-batch-size",
        };
        this.#delays.failed("polls", { fields });
        return;
      }
      case "spec_polls_on_time":
        if (!this.#delays.ended("polls")) debugLine(this.#logger, event);
        return;
      default:
        this.#writeOfFeed(event);
    }
  }

  #writeOfFeed(event: FeedLogEvent): void {
    const feed = describeFeed(event.kind === "spec_updated" ? event.snapshot.feed : event.feed);
    switch (event.kind) {
      case "spec_updated":
        this.#writeUpdate(event, feed);
        return;
      case "spec_unchanged":
        this.#logger.log("debug", "config specs unchanged", {
          feed,
          lcut: event.lcut,
          took_ms: event.tookMs,
        });
        this.#outages.ended(feed);
        return;
      case "spec_refused":
        this.#writeFailure(`refused: ${event.reason}`, event, feed);
        return;
      case "spec_fetch_failed":
        this.#writeFailure(event.cause, event, feed);
        return;
      case "spec_unauthorized":
        this.#writeUnauthorized(event, feed);
        return;
      case "spec_evicted": {
        const message = "SDK key made room for another: more are in use than may be held";
        const option = "--maximum-concurrent-sdk-keys";
        this.#throttled.of(event.kind).log("info", message, { feed, option });
        this.#outages.ended(feed);
        return;
      }
      case "spec_not_held": {
        const message = "no room for another SDK key: all have streams or are preloaded";
        const fields = { feed, maximum_concurrent_sdk_keys: event.maxKeys };
        this.#throttled.of(event.kind).log("warn", message, fields);
      }
    }
  }

  /** A key of which nothing is held may never be asked for again: it must not keep an outage open. */
  #writeFailure(cause: string, { detail, held }: { detail: string; held: boolean }, feed: string): void {
    const fields = { detail, feed };
    if (held) this.#outages.failed(feed, { cause, fields });
    else
      this.#throttled
        .of("nothing")
        .log("warn", "upstream failing, nothing to serve yet", { cause, ...fields });
  }

  #writeUpdate(event: Extract<SpecEvent, { kind: "spec_updated" }>, feed: string): void {
    const { snapshot, previousLcut, tookMs } = event;
    const { lcut, bytes, source } = snapshot;
    const message = previousLcut === undefined ? "config specs loaded" : "config specs updated";
    const fields = { feed, lcut, previous_lcut: previousLcut, bytes: bytes.length, source, took_ms: tookMs };
    this.#updates.log("info", message, fields);
    if (source === "upstream") this.#outages.ended(feed);
  }

  #writeUnauthorized(event: Extract<SpecEvent, { kind: "spec_unauthorized" }>, feed: string): void {
    const { status } = event;
    switch (event.whatIsHeld) {
      case "kept": {
        const fields = { detail: `upstream answered ${status}`, feed };
        this.#outages.failed(feed, { cause: "unauthorized", fields });
        return;
      }
      case "cleared": {
        const message = "upstream revoked the SDK key, dropped what was held";
        this.#throttled.of("cleared").log("warn", message, { feed, status });
        this.#outages.ended(feed);
        return;
      }
      case "denied":
        this.#throttled.of("denied").log("info", "upstream does not accept the SDK key", { feed, status });
    }
  }
}

/** Of one that is forgotten the next interval alone is not measured. */
const MAX_FEEDS_REMEMBERED = 10_000;

/** What happens between upstream and memory, as measurements. */
export class SpecMetrics {
  readonly #registry: MetricRegistry;
  readonly #answeredAt = new LRUCache<string, number>({ max: MAX_FEEDS_REMEMBERED });

  constructor(registry: MetricRegistry) {
    this.#registry = registry;
  }

  write(event: Exclude<SpecEvent, BackupUseEvent>): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "spec_updated":
        this.#updated(event);
        return;
      case "spec_unchanged":
        registry.time("HttpDataProviderNoData", toTags(event.feed), event.tookMs);
        this.#answered(event.feed);
        return;
      case "spec_refused":
        this.#refused(event);
        return;
      case "spec_fetch_failed":
        this.#error(event, event.cause);
        return;
      case "spec_unauthorized":
        this.#error({ ...event, held: event.whatIsHeld === "kept" }, "unauthorized");
        registry.count("SdkKeyUnauthorized", { state: event.whatIsHeld });
        return;
      case "fleet_looked":
        registry.count("FleetLooked", { state: event.seen });
        return;
      case "spec_evicted":
        registry.count("ConfigSpecEvicted", { reason: "made_room" });
        return;
      case "spec_not_held":
        registry.count("ConfigSpecEvicted", { reason: "no_room" });
        return;
      case "spec_poll_began":
        registry.time("PollWait", {}, event.waitedMs);
        return;
      // Seen in the waits.
      case "spec_polls_delayed":
      case "spec_polls_on_time":
    }
  }

  #updated({ snapshot, tookMs }: Extract<SpecEvent, { kind: "spec_updated" }>): void {
    const { feed, source, lcut, receivedAt } = snapshot;
    const tags = toTags(feed);
    const registry = this.#registry;
    registry.count("ConfigSpecStoreGotData", { ...tags, source, lcut: String(lcut) });
    registry.time("UpdateConfigSpecStorePropagationDelayMs", tags, Math.max(0, receivedAt - lcut));
    if (source !== "upstream") return;
    registry.time("HttpDataProviderGotData", tags, tookMs);
    this.#answered(feed);
  }

  #refused(event: Extract<SpecEvent, { kind: "spec_refused" }>): void {
    const { reason, tookMs } = event;
    const tags = tagsFor(event);
    this.#registry.count("PayloadRefused", { ...tags, reason });
    if (reason === "no_lcut" || reason === "in_future" || reason === "older") {
      this.#registry.time("HttpDataProviderNoDataDueToBadLcut", tags, tookMs);
    } else this.#error(event, reason);
  }

  #error(asked: Asked, reason: string): void {
    this.#registry.time("HttpDataProviderError", { ...tagsFor(asked), reason }, asked.tookMs);
  }

  #answered(feed: Feed): void {
    const id = feedId(feed);
    const now = performance.now();
    const before = this.#answeredAt.get(id);
    this.#answeredAt.set(id, now);
    if (before === undefined) return;
    this.#registry.time("BackgroundDataProviderRequestInterval", toTags(feed), now - before);
  }
}

interface Asked {
  readonly feed: Feed;
  readonly held: boolean;
  readonly tookMs: number;
}

function tagsFor({ feed, held }: Asked): FeedTags {
  return held ? toTags(feed) : tagsForUnknownKey(feed);
}

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
    const error = { at: toIso(now), reason, detail };
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
  return { at: toIso(now), outcome, took_ms: Math.round(tookMs) };
}
