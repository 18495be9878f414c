import { LRUCache } from "lru-cache";
import type { SpecEvent } from "../../specs/events.ts";
import { type Feed, feedId } from "../../specs/feed.ts";
import type { BackupUseEvent } from "../relay-event.ts";
import { type FeedTags, tagsOf, tagsOfStranger } from "./feed-tags.ts";
import type { MetricRegistry } from "./metric-registry.ts";

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
        registry.time("HttpDataProviderNoData", tagsOf(event.feed), event.tookMs);
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
    const tags = tagsOf(feed);
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
    this.#registry.time("BackgroundDataProviderRequestInterval", tagsOf(feed), now - before);
  }
}

interface Asked {
  readonly feed: Feed;
  readonly held: boolean;
  readonly tookMs: number;
}

function tagsFor({ feed, held }: Asked): FeedTags {
  return held ? tagsOf(feed) : tagsOfStranger(feed);
}
