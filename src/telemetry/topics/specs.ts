import { LRUCache } from "lru-cache";
import type { EmitSpecEvent, SpecEvent } from "../../specs/events.ts";
import { describeFeed, type Feed, feedId, OFFERED_CODINGS } from "../../specs/feed.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLog, ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { Tags } from "../metrics/series.ts";
import { type FeedTags, tagsForUnknownKey, toTags } from "../metrics/tags.ts";
import type { TelemetryOutput } from "../output.ts";
import { PollStatus } from "../status/polls.ts";
import type { Transfer } from "../status/transfer.ts";

const OUTAGE = {
  begins: "upstream failing, serving last known config",
  lasts: "upstream still failing",
  ends: "upstream recovered",
  failing: "failing_feeds",
};

const DELAY = {
  begins: "polls delayed beyond the polling interval",
  lasts: "polls still delayed beyond the polling interval",
  ends: "polls on time again",
};

/** Every update is worth a line, unless they flood the log. */
const UPDATES_PER_MIN = 600;

/** If more feeds are polled, some intervals between polls are not measured, and some errors have no version. */
const MAX_TIMED_FEEDS = 10_000;

type SpecUpdated = Extract<SpecEvent, { kind: "spec_updated" }>;
type PinEvent = Extract<
  SpecEvent,
  { kind: "spec_republished" | "spec_held_back" | "pins_failing" | "pins_recovered" }
>;
type SpecRefused = Extract<SpecEvent, { kind: "spec_refused" }>;
type SpecUnauthorized = Extract<SpecEvent, { kind: "spec_unauthorized" }>;

interface LatestVersion {
  readonly lcut: number;
  /** When upstream sent or confirmed the version, from `performance.now()`; undefined if it came from the backup. */
  readonly polledAt: number | undefined;
}

interface PolledFeed {
  readonly feed: Feed;
  readonly held: boolean;
}

interface PollFailure {
  readonly cause: string;
  /** Upstream responded, and the failure concerns this feed alone. */
  readonly isOwn: boolean;
  readonly detail: string;
}

/** Logs, metrics and status of config specs on their way from upstream to memory. */
export class SpecTelemetry {
  readonly emit: EmitSpecEvent;
  readonly polls: PollStatus;
  readonly #transfer: Transfer;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #outages: OutageLog;
  readonly #delays: OutageLog;
  readonly #throttled: ThrottledLogs;
  readonly #updates: ThrottledLog;
  readonly #latest = new LRUCache<string, LatestVersion>({ max: MAX_TIMED_FEEDS });

  constructor(
    { logger, registry, clock, contain }: TelemetryOutput,
    { preload, transfer }: { readonly preload: readonly Feed[]; readonly transfer: Transfer },
  ) {
    this.emit = contain((event) => this.#record(event));
    this.polls = new PollStatus(clock, preload);
    this.#transfer = transfer;
    this.#logger = logger;
    this.#registry = registry;
    this.#outages = new OutageLog(logger, clock, OUTAGE);
    this.#delays = new OutageLog(logger, clock, DELAY);
    this.#throttled = new ThrottledLogs(logger, clock);
    this.#updates = new ThrottledLog(logger, clock, UPDATES_PER_MIN);
  }

  #record(event: SpecEvent): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "spec_updated":
        this.#recordUpdate(event);
        return;
      case "spec_unchanged":
        this.#recordUnchanged(event);
        return;
      case "spec_republished":
      case "spec_held_back":
      case "pins_failing":
      case "pins_recovered":
        this.#recordPin(event);
        return;
      case "spec_refused":
        this.#recordRefusal(event);
        return;
      case "spec_delta_refused": {
        const { feed, detail } = event;
        registry.count("DeltaReceived", { result: "refused" });
        const fields = { detail, feed: describeFeed(feed) };
        this.#throttled.of("delta").log("warn", "delta rejected, fetching whole config specs", fields);
        return;
      }
      case "spec_fetch_failed": {
        const { cause, detail, tookMs } = event;
        this.#timeError(event, cause, tookMs);
        this.polls.failed(event, { outcome: "failed", reason: cause, detail, tookMs });
        this.#logFailure(event, { cause, isOwn: false, detail });
        return;
      }
      case "spec_unauthorized":
        this.#recordUnauthorized(event);
        return;
      case "spec_response": {
        const { from, status, bytes } = event;
        this.#transfer.received(bytes);
        const response = { status_code: String(status), client_service: from };
        registry.count("DcsFetchSource", { ...tagsFor(event), ...response });
        debugLine(this.#logger, event);
        return;
      }
      case "spec_unavailable": {
        const { feed, cause, detail } = event;
        const fields = { cause, detail, feed: describeFeed(feed) };
        this.#throttled.of("nothing").log("warn", "upstream failing, no config to serve", fields);
        return;
      }
      case "fleet_looked":
        registry.count("FleetLooked", { state: event.seen });
        debugLine(this.#logger, event);
        return;
      case "spec_poll_began":
        registry.time("PollWait", {}, event.waitedMs);
        debugLine(this.#logger, event);
        return;
      case "spec_evicted":
      case "spec_not_held":
        this.#recordNoRoom(event);
        return;
      case "spec_polls_delayed": {
        const { waitedMs, intervalMs } = event;
        this.polls.delayed(waitedMs, intervalMs);
        const option = "--max-in-flight";
        const fields = { waited_ms: Math.round(waitedMs), interval_ms: intervalMs, option };
        this.#delays.failed("polls", { fields });
        return;
      }
      case "spec_polls_on_time":
        this.polls.onTime();
        if (!this.#delays.ended("polls")) debugLine(this.#logger, event);
    }
  }

  #recordUpdate({ snapshot, previousLcut, contentEncoding, deltaBytes, tookMs }: SpecUpdated): void {
    const { feed, source, lcut, bytes, receivedAt } = snapshot;
    const registry = this.#registry;
    const tags = toTags(feed);
    registry.count("ConfigSpecStoreGotData", { ...tags, source, lcut: String(lcut) });
    registry.count("DeltaComputed", {}, snapshot.deltas?.length ?? 0);
    // The first version of a feed is as old as the last change of its project. Another content with the same lcut changed later.
    if (previousLcut !== undefined && previousLcut !== lcut) {
      const delayMs = Math.max(0, receivedAt - lcut);
      registry.time("UpdateConfigSpecStorePropagationDelayMs", tags, delayMs, { lcut: String(lcut) });
    }
    if (source === "upstream") {
      const latest = { ...toRequestTags(feed, lcut), "content-encoding": contentEncoding || "plain_text" };
      registry.time("HttpDataProviderGotData", tags, tookMs, latest);
      this.#recordPoll(feed, lcut);
      this.polls.succeeded(feed, "updated", tookMs);
    } else {
      this.#latest.set(feedId(feed), { lcut, polledAt: undefined });
    }
    const message = previousLcut === undefined ? "config specs loaded" : "config specs updated";
    const size = { bytes: bytes.length, delta_bytes: deltaBytes };
    const fields = { lcut, previous_lcut: previousLcut, ...size, source, took_ms: tookMs };
    this.#updates.log("info", message, { feed: describeFeed(feed), ...fields });
    if (deltaBytes !== undefined) registry.count("DeltaReceived", { result: "applied" });
    if (source === "upstream") this.#outages.ended(describeFeed(feed));
  }

  #recordUnchanged({ feed, lcut, tookMs }: Extract<SpecEvent, { kind: "spec_unchanged" }>): void {
    this.#registry.time("HttpDataProviderNoData", toTags(feed), tookMs, toRequestTags(feed, lcut));
    this.#recordPoll(feed, lcut);
    this.polls.succeeded(feed, "unchanged", tookMs);
    const fields = { feed: describeFeed(feed), lcut, took_ms: tookMs };
    this.#logger.log("debug", "config specs unchanged", fields);
    this.#outages.ended(describeFeed(feed));
  }

  #recordPin(event: PinEvent): void {
    switch (event.kind) {
      case "spec_republished": {
        // Says nothing of upstream: the version was there before.
        const { feed, lcut, original } = event.snapshot;
        this.#registry.count("ConfigSpecRepublished", toTags(feed));
        const fields = { version: original?.lcut ?? lcut, lcut, previous_lcut: event.previousLcut };
        const message = original ? "config specs published again" : "held back config specs published";
        this.#updates.log("info", message, { feed: describeFeed(feed), ...fields });
        return;
      }
      case "spec_held_back":
        this.#recordHeldBack(event);
        return;
      case "pins_failing": {
        const message = "pins cannot be read or stored, the last ones apply";
        this.#throttled.of("pins").log("warn", message, { detail: event.detail });
        return;
      }
      case "pins_recovered":
        this.#throttled.of("pins_recovered").log("info", "pins can be read and stored again");
    }
  }

  /** Upstream has responded as to any other poll. */
  #recordHeldBack({ feed, lcut, servedLcut, tookMs }: Extract<SpecEvent, { kind: "spec_held_back" }>): void {
    this.#registry.time("HttpDataProviderNoData", toTags(feed), tookMs, toRequestTags(feed, lcut));
    this.#registry.count("ConfigSpecHeldBack", toTags(feed));
    this.#recordPoll(feed, servedLcut);
    this.polls.succeeded(feed, "unchanged", tookMs);
    const fields = { feed: describeFeed(feed), lcut, served_lcut: servedLcut };
    this.#updates.log("info", "newer config specs held back, SDK key is pinned", fields);
    this.#outages.ended(fields.feed);
  }

  #recordRefusal(event: SpecRefused): void {
    const { reason, detail, tookMs } = event;
    const registry = this.#registry;
    const tags = tagsFor(event);
    registry.count("PayloadRefused", { ...tags, reason });
    const isBadLcut = reason === "no_lcut" || reason === "in_future" || reason === "older";
    if (isBadLcut)
      registry.time("HttpDataProviderNoDataDueToBadLcut", tags, tookMs, toRequestTags(event.feed));
    else this.#timeError(event, reason, tookMs);
    this.polls.failed(event, { outcome: "refused", reason, detail, tookMs });
    this.#logFailure(event, { cause: `refused: ${reason}`, isOwn: true, detail });
  }

  #recordUnauthorized({ feed, status, whatIsHeld, tookMs }: SpecUnauthorized): void {
    const polled = { feed, held: whatIsHeld === "kept" };
    const reason = "unauthorized";
    const detail = `upstream answered ${status}`;
    this.#timeError(polled, reason, tookMs);
    this.#registry.count("SdkKeyUnauthorized", { state: whatIsHeld });
    this.polls.failed(polled, { outcome: "unauthorized", reason, detail, tookMs });
    const fields = { feed: describeFeed(feed), status };
    switch (whatIsHeld) {
      case "kept":
        this.#logFailure(polled, { cause: reason, isOwn: true, detail });
        return;
      case "cleared":
        this.#throttled.of("cleared").log("warn", "upstream revoked SDK key, cached config dropped", fields);
        this.#outages.ended(fields.feed);
        return;
      case "denied":
        this.#throttled.of("denied").log("info", "upstream rejected SDK key", fields);
    }
  }

  #recordNoRoom(event: Extract<SpecEvent, { kind: "spec_evicted" | "spec_not_held" }>): void {
    const feed = describeFeed(event.feed);
    const log = this.#throttled.of(event.kind);
    if (event.kind === "spec_evicted") {
      this.#registry.count("ConfigSpecEvicted", { reason: "made_room" });
      const option = "--maximum-concurrent-sdk-keys";
      log.log("info", "evicted SDK key: --maximum-concurrent-sdk-keys reached", { feed, option });
      this.#outages.ended(feed);
    } else {
      this.#registry.count("ConfigSpecEvicted", { reason: "no_room" });
      const message = "SDK key not cached: all cached keys have streams or are preloaded";
      log.log("warn", message, { feed, maximum_concurrent_sdk_keys: event.maxKeys });
    }
  }

  /**
   * A feed that is not cached may never be requested again: it must not keep an outage open. If the backup does not have it either,
   * `spec_unavailable` follows.
   */
  #logFailure({ feed, held }: PolledFeed, { cause, isOwn, detail }: PollFailure): void {
    if (!held) return;
    const fields = { detail, feed: describeFeed(feed) };
    this.#outages.failed(fields.feed, { cause, isOwn, fields });
  }

  #timeError(polled: PolledFeed, reason: string, tookMs: number): void {
    const lcut = polled.held ? this.#latest.peek(feedId(polled.feed))?.lcut : 0;
    const latest = toRequestTags(polled.feed, lcut);
    this.#registry.time("HttpDataProviderError", { ...tagsFor(polled), reason }, tookMs, latest);
  }

  #recordPoll(feed: Feed, lcut: number): void {
    const id = feedId(feed);
    const polledAt = performance.now();
    const before = this.#latest.get(id)?.polledAt;
    this.#latest.set(id, { lcut, polledAt });
    if (before === undefined) return;
    this.#registry.time("BackgroundDataProviderRequestInterval", toTags(feed), polledAt - before);
  }
}

function tagsFor({ feed, held }: PolledFeed): FeedTags {
  return held ? toTags(feed) : tagsForUnknownKey(feed);
}

/** Returns what pushed lines have of a request to upstream: the codings that it offered, and the version that is known. */
function toRequestTags({ format }: Feed, lcut?: number): Tags {
  const offered = { "accept-encoding": OFFERED_CODINGS[format].join("+") };
  return lcut === undefined ? offered : { ...offered, lcut: String(lcut) };
}
