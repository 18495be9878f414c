import { LRUCache } from "lru-cache";
import type { KeyGate, Throttled } from "../access/admission.ts";
import { MISS_TIMEOUT_MS, NegativeCache, type NegativeEntry } from "../access/negative-cache.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { AcquireOutcome, SpecAcquirer } from "./acquire.ts";
import { type ApiVersion, type Feed, feedId, type SpecFormat } from "./feed.ts";
import { recoverAny, type SpecRecovery } from "./recovery.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

type Held = { readonly kind: "held"; readonly held: HeldFeed };

export type SpecLookup = Held | NegativeEntry | Throttled;

/** How long a client that can read protobuf waits for it if JSON is held. */
const SLOW_PROTO_MS = 1_000;

/** The rest of {@link MISS_TIMEOUT_MS} is for JSON in place of protobuf. */
const FETCH_TIMEOUT_MS = MISS_TIMEOUT_MS - 500;

/** Shortest interval between two reads of the backup for a feed in the negative cache. */
const RECOVER_EVERY_MS = 1_000;

/** Enough to cache a failure for all feeds of each valid key while upstream is down. */
export const NEGATIVE_ENTRIES_PER_KEY = 4;

interface SpecQueryOptions {
  readonly store: SpecStore;
  readonly acquirer: Pick<SpecAcquirer, "acquire">;
  readonly clock: Clock;
  /** Size of the negative cache; beyond it, the least recently used entry is evicted. */
  readonly maxNegativeEntries: number;
  readonly gate: KeyGate;
  readonly recovery?: SpecRecovery | undefined;
}

/** How handlers of every protocol find the config specs that clients request. */
export interface SpecLookups {
  /** Returns the feed from memory, which is enough for most requests. Accepts any text as the SDK key. */
  held(sdkKey: string, version: ApiVersion, format: SpecFormat): HeldFeed | undefined;
  /**
   * Returns the feed from memory, or fetches it from upstream and the backup. Resolves within {@link MISS_TIMEOUT_MS}. A client
   * that can read protobuf may get JSON.
   */
  ask(sdkKey: SdkKey, version: ApiVersion, format: SpecFormat): Promise<SpecLookup>;
}

/** Finds config specs in the store, in upstream and in the backup. */
export class SpecQuery implements SpecLookups {
  readonly #options: SpecQueryOptions;
  readonly #negative: NegativeCache;
  /** Feeds in the negative cache for which the backup was read less than {@link RECOVER_EVERY_MS} ago. */
  readonly #recentlyRecovered: LRUCache<string, true>;

  constructor(options: SpecQueryOptions) {
    this.#options = options;
    const { maxNegativeEntries: max, clock } = options;
    this.#negative = new NegativeCache(max, clock);
    const perf = { now: () => clock.elapsed() };
    this.#recentlyRecovered = new LRUCache({ max, ttl: RECOVER_EVERY_MS, perf, ttlResolution: 0 });
  }

  held(sdkKey: string, version: ApiVersion, format: SpecFormat): HeldFeed | undefined {
    return this.#options.store.find(sdkKey, version, format);
  }

  /**
   * Returns the feed from memory, or fetches it from upstream and the backup. Resolves within {@link MISS_TIMEOUT_MS}, while the
   * fetch continues: a large one over a slow link takes minutes. A client that can read protobuf can read JSON too: held JSON is
   * returned if protobuf is not available, or not soon; if neither is available, JSON from the backup.
   */
  async ask(sdkKey: SdkKey, version: ApiVersion, format: SpecFormat): Promise<SpecLookup> {
    const feed = { sdkKey, version, format };
    const held = this.#find(feed);
    if (held !== undefined) return held;
    const fetched = this.#fetchInTime(feed);
    if (format === "json") return fetched;
    return (
      (await withTimeout(this.#orHeldJson(fetched, feed), MISS_TIMEOUT_MS, this.#options.clock)) ?? fetched
    );
  }

  async #fetchInTime(feed: Feed): Promise<SpecLookup> {
    const inTime = await withTimeout(this.#fetchOnMiss(feed), FETCH_TIMEOUT_MS, this.#options.clock);
    return inTime ?? this.#find(feed) ?? this.#toNegative(feed, undefined);
  }

  /** The relay may hold a feed for itself that clients do not get. */
  #find({ sdkKey, version, format }: Feed): Held | undefined {
    const held = this.#options.gate.allows(sdkKey) ? this.held(sdkKey, version, format) : undefined;
    return held && { kind: "held", held };
  }

  async #orHeldJson(fetched: Promise<SpecLookup>, feed: Feed): Promise<SpecLookup> {
    const json: Feed = { ...feed, format: "json" };
    const inTime = await withTimeout(fetched, SLOW_PROTO_MS, this.#options.clock);
    const lookup = inTime ?? this.#find(json) ?? (await fetched);
    if (lookup.kind === "held" || lookup.kind === "unauthorized") return lookup;
    return (
      this.#find(json) ??
      (lookup.kind === "unavailable" ? await this.#recoverRarely(json) : undefined) ??
      lookup
    );
  }

  async #fetchOnMiss(feed: Feed): Promise<SpecLookup> {
    const { gate, recovery, acquirer } = this.#options;
    const { sdkKey } = feed;
    const negative = gate.allows(sdkKey) ? this.#negative.get(feedId(feed)) : undefined;
    if (negative !== undefined) return (await this.#recoverNegative(feed, negative)) ?? negative;
    const refusal = await gate.refusal(sdkKey, recovery && (() => recoverAny(recovery, feed)));
    if (refusal !== undefined) return refusal;
    const recovered = this.#find(feed);
    if (recovered !== undefined) return recovered;
    const outcome = await acquirer.acquire(feed, "cache_miss");
    return this.#find(feed) ?? this.#toNegative(feed, outcome);
  }

  /** Remembers for a while that there is nothing to serve. `outcome`: undefined if it is not known in time. */
  #toNegative(feed: Feed, outcome: AcquireOutcome | undefined): SpecLookup {
    const { gate } = this.#options;
    // Not cached, because the key may be allowed again at any time.
    if (!gate.allows(feed.sdkKey)) return { kind: "unauthorized" };
    const isUnauthorized = outcome?.kind === "unauthorized";
    if (!isUnauthorized) gate.undecided(feed.sdkKey);
    const afterMs = outcome?.kind === "failed" ? outcome.retryAfterMs : undefined;
    return this.#negative.add(feedId(feed), isUnauthorized, afterMs);
  }

  /** Reads the backup, which may be back while upstream's Retry-After still applies. */
  async #recoverNegative(feed: Feed, entry: NegativeEntry): Promise<SpecLookup | undefined> {
    return entry.kind === "unavailable" ? this.#recoverRarely(feed) : undefined;
  }

  /** Reads the backup at most once per {@link RECOVER_EVERY_MS}, for all clients that wait for it. */
  async #recoverRarely(feed: Feed): Promise<SpecLookup | undefined> {
    const { recovery } = this.#options;
    const id = feedId(feed);
    if (this.#recentlyRecovered.has(id)) await recovery?.settled(feed);
    else {
      this.#recentlyRecovered.set(id, true);
      await recovery?.recover(feed);
    }
    return this.#find(feed);
  }
}
