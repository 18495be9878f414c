import { LRUCache } from "lru-cache";
import type { KeyGate, Throttled } from "../access/admission.ts";
import { NegativeCache, type NegativeEntry } from "../access/negative-cache.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { SpecAcquirer } from "./acquire.ts";
import { type ApiVersion, type Feed, feedId, type SpecFormat } from "./feed.ts";
import { recoverAny, type SpecRecovery } from "./recovery.ts";
import type { HeldFeed, SpecStore } from "./store.ts";

export type SpecLookup = { readonly kind: "held"; readonly held: HeldFeed } | NegativeEntry | Throttled;

/** How long a client that can read protobuf waits for it where JSON is held. */
const SLOW_PROTO_MS = 1_000;

/** How long a client waits for the first version of a feed. Fetching it goes on: a large one over a slow link takes minutes. */
const PATIENCE_MS = 30_000;

/** A denied feed is looked for in the backup so often. */
const LOOK_UP_EVERY_MS = 1_000;

interface SpecQueryOptions {
  readonly store: SpecStore;
  readonly acquirer: Pick<SpecAcquirer, "acquire">;
  readonly clock: Clock;
  /** Negative answers remembered; beyond, the least recently used is forgotten. */
  readonly maxDenials: number;
  readonly gate: KeyGate;
  readonly recovery?: SpecRecovery | undefined;
}

/** What clients ask, on every protocol: the config spec of a key. */
export class SpecQuery {
  readonly #options: SpecQueryOptions;
  readonly #denials: NegativeCache;
  /** Denied feeds that the backup was asked for a moment ago. */
  readonly #lookedUp: LRUCache<string, true>;

  constructor(options: SpecQueryOptions) {
    this.#options = options;
    const { maxDenials: max, clock } = options;
    this.#denials = new NegativeCache(max, clock);
    const perf = { now: () => clock.elapsed() };
    this.#lookedUp = new LRUCache({ max, ttl: LOOK_UP_EVERY_MS, perf, ttlResolution: 0 });
  }

  /** What is in memory; all that the path of most requests needs. Takes any text for the key. */
  held(sdkKey: string, version: ApiVersion, format: SpecFormat): HeldFeed | undefined {
    return this.#options.store.find(sdkKey, version, format);
  }

  /**
   * What is in memory, else what can be had of upstream and the backup now. A client that can read protobuf can read JSON too:
   * where protobuf is not to be had, or not soon, JSON that is held answers.
   */
  async ask(sdkKey: SdkKey, version: ApiVersion, format: SpecFormat): Promise<SpecLookup> {
    const held = this.held(sdkKey, version, format);
    if (held !== undefined) return { kind: "held", held };
    const cacheMiss = this.#fetchOnMiss({ sdkKey, version, format });
    return format === "json" ? cacheMiss : this.#orHeldJson(cacheMiss, sdkKey, version);
  }

  async #orHeldJson(proto: Promise<SpecLookup>, sdkKey: SdkKey, version: ApiVersion): Promise<SpecLookup> {
    const json = (): SpecLookup | undefined => {
      const held = this.held(sdkKey, version, "json");
      return held && { kind: "held", held };
    };
    const answered = new AbortController();
    const late = this.#options.clock.sleep(SLOW_PROTO_MS, answered.signal).then(json, () => undefined);
    try {
      const answer = (await Promise.race([proto, late])) ?? (await proto);
      return answer.kind === "held" || answer.kind === "unauthorized" ? answer : (json() ?? answer);
    } finally {
      answered.abort();
    }
  }

  async #fetchOnMiss(feed: Feed): Promise<SpecLookup> {
    const { gate, recovery, acquirer } = this.#options;
    const { sdkKey, version, format } = feed;
    const denied = gate.allows(sdkKey) ? this.#denials.get(feedId(feed)) : undefined;
    if (denied !== undefined) return (await this.#recoverDenied(feed, denied)) ?? denied;
    const refusal = await gate.refusal(sdkKey, recovery && (() => recoverAny(recovery, feed)));
    if (refusal !== undefined) return refusal;
    const recovered = this.held(sdkKey, version, format);
    if (recovered !== undefined) return { kind: "held", held: recovered };
    const outcome = await withTimeout(
      acquirer.acquire(feed, "cache_miss"),
      PATIENCE_MS,
      this.#options.clock,
    );
    const held = this.held(sdkKey, version, format);
    if (held !== undefined) return { kind: "held", held };
    // Not remembered: it may be back on the list at any moment.
    if (!gate.allows(sdkKey)) return { kind: "unauthorized" };
    const isUnauthorized = outcome?.kind === "unauthorized";
    if (!isUnauthorized) gate.undecided(sdkKey);
    const afterMs = outcome?.kind === "failed" ? outcome.retryAfterMs : undefined;
    return this.#denials.add(feedId(feed), isUnauthorized, afterMs);
  }

  /** That upstream wants to be left alone for a while does not keep a backup that works again from answering. */
  async #recoverDenied(feed: Feed, denied: NegativeEntry): Promise<SpecLookup | undefined> {
    const { recovery } = this.#options;
    const id = feedId(feed);
    if (recovery === undefined || denied.kind !== "unavailable" || this.#lookedUp.has(id)) return undefined;
    this.#lookedUp.set(id, true);
    await recovery.recover(feed);
    const held = this.held(feed.sdkKey, feed.version, feed.format);
    return held && { kind: "held", held };
  }
}
