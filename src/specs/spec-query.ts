import { LRUCache } from "lru-cache";
import type { Clock } from "../clock.ts";
import type { AcquireOutcome, SpecAcquirer } from "./acquire.ts";
import { type ApiVersion, type Feed, feedId, type SpecFormat } from "./feed.ts";
import type { HeldFeed } from "./held-feed.ts";
import type { SdkKey } from "./sdk-key.ts";
import type { SpecStore } from "./spec-store.ts";

export type SpecAnswer =
  | { readonly kind: "held"; readonly held: HeldFeed }
  /** Upstream itself said 401 or 403. */
  | { readonly kind: "unauthorized" }
  /** Nothing held, and upstream gave nothing. */
  | { readonly kind: "unavailable"; readonly retryAfterMs: number };

type Denial = Exclude<SpecAnswer, { kind: "held" }>;

/** A key that upstream did not know is not asked for again so long. */
export const UNAUTHORIZED_TTL_MS = 30_000;

/** After a first request that failed, the next that is let through. */
export const RETRY_AFTER_FAILURE_MS = 1_000;

/** How long a client that can read protobuf waits for it where JSON is held. */
const SLOW_PROTO_MS = 1_000;

export interface SpecQueryOptions {
  readonly store: SpecStore;
  readonly acquirer: SpecAcquirer;
  readonly clock: Clock;
  /** Negative answers remembered; beyond, the least recently used is forgotten. */
  readonly maxDenials: number;
}

/** What clients ask, on every protocol: the config spec of a key. */
export class SpecQuery {
  readonly #options: SpecQueryOptions;
  readonly #denials: LRUCache<string, Denial>;

  constructor(options: SpecQueryOptions) {
    this.#options = options;
    const perf = { now: () => options.clock.elapsed() };
    this.#denials = new LRUCache({ max: options.maxDenials, perf, ttlResolution: 0 });
  }

  /** What is in memory; all that the path of most requests needs. Takes any text for the key. */
  held(sdkKey: string, version: ApiVersion, format: SpecFormat): HeldFeed | undefined {
    return this.#options.store.find(sdkKey, version, format);
  }

  /**
   * What is in memory, else what can be had of upstream and the backup now. A client that can read protobuf can read JSON too:
   * where protobuf is not to be had, or not soon, JSON that is held answers.
   */
  async ask(sdkKey: SdkKey, version: ApiVersion, format: SpecFormat): Promise<SpecAnswer> {
    const held = this.held(sdkKey, version, format);
    if (held !== undefined) return { kind: "held", held };
    const firstSight = this.#firstSight({ sdkKey, version, format });
    return format === "json" ? firstSight : this.#orHeldJson(firstSight, sdkKey, version);
  }

  async #orHeldJson(proto: Promise<SpecAnswer>, sdkKey: SdkKey, version: ApiVersion): Promise<SpecAnswer> {
    const json = (): SpecAnswer | undefined => {
      const held = this.held(sdkKey, version, "json");
      return held && { kind: "held", held };
    };
    const answered = new AbortController();
    const late = this.#options.clock.sleep(SLOW_PROTO_MS, answered.signal).then(json, () => undefined);
    try {
      const answer = (await Promise.race([proto, late])) ?? (await proto);
      return answer.kind === "unavailable" ? (json() ?? answer) : answer;
    } finally {
      answered.abort();
    }
  }

  async #firstSight(feed: Feed): Promise<SpecAnswer> {
    const denied = this.#denials.get(feedId(feed));
    if (denied !== undefined) return denied;
    const outcome = await this.#options.acquirer.acquire(feed, "first_sight");
    const held = this.#options.store.find(feed.sdkKey, feed.version, feed.format);
    if (held !== undefined) return { kind: "held", held };
    return this.#deny(feed, outcome);
  }

  #deny(feed: Feed, outcome: AcquireOutcome): Denial {
    const unauthorized = outcome.kind === "unauthorized";
    const denial: Denial = unauthorized
      ? { kind: "unauthorized" }
      : { kind: "unavailable", retryAfterMs: RETRY_AFTER_FAILURE_MS };
    const ttl = unauthorized ? UNAUTHORIZED_TTL_MS : RETRY_AFTER_FAILURE_MS;
    this.#denials.set(feedId(feed), denial, { ttl });
    return denial;
  }
}
