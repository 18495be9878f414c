import { LRUCache } from "lru-cache";
import { MAX_RETRY_DELAY_MS } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";

/** A negative answer. */
export type NegativeEntry =
  /** Upstream itself said 401 or 403. */
  | { readonly kind: "unauthorized" }
  /** Nothing held, and upstream gave nothing. */
  | { readonly kind: "unavailable"; readonly retryAfterMs: number };

/** A key that upstream did not know is not asked for again so long. */
const UNAUTHORIZED_TTL_MS = 30_000;

/** After a first request that failed, the next that is let through. */
const RETRY_AFTER_FAILURE_MS = 1_000;

/** Remembers negative answers for a while, so that upstream is not asked each time. */
export class NegativeCache {
  readonly #denials: LRUCache<string, NegativeEntry>;

  /** Of more than `max`, the least recently used is forgotten. */
  constructor(max: number, clock: Clock) {
    const perf = { now: () => clock.elapsed() };
    this.#denials = new LRUCache({ max, perf, ttlResolution: 0 });
  }

  get(id: string): NegativeEntry | undefined {
    const denial = this.#denials.get(id);
    if (denial?.kind !== "unavailable") return denial;
    return { kind: "unavailable", retryAfterMs: Math.max(1, Math.ceil(this.#denials.getRemainingTTL(id))) };
  }

  /** `afterMs`: for how long upstream asked not to be asked. */
  add(id: string, isUnauthorized: boolean, afterMs = 0): NegativeEntry {
    const ttl = isUnauthorized
      ? UNAUTHORIZED_TTL_MS
      : Math.min(Math.max(afterMs, RETRY_AFTER_FAILURE_MS), MAX_RETRY_DELAY_MS);
    const denial: NegativeEntry = isUnauthorized
      ? { kind: "unauthorized" }
      : { kind: "unavailable", retryAfterMs: ttl };
    this.#denials.set(id, denial, { ttl });
    return denial;
  }
}
