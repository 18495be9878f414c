import { LRUCache } from "lru-cache";
import { MAX_RETRY_DELAY_MS } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";

/** Why a lookup failed. */
export type NegativeEntry =
  /** Upstream responded 401 or 403. */
  | { readonly kind: "unauthorized" }
  /** Nothing is held, and upstream sent nothing. */
  | { readonly kind: "unavailable"; readonly retryAfterMs: number };

/** How long upstream is not asked again for a key that it rejected. */
const UNAUTHORIZED_TTL_MS = 30_000;

/** How long upstream is not asked again after a failure, at least. */
const RETRY_AFTER_FAILURE_MS = 1_000;

/**
 * How long a client waits at most for the answer to a first request, whatever hangs: upstream, its name server, a proxy or the
 * backup. The original proxy answers after 10 s, and SDKs wait as long: a second is left for the network and for a busy machine.
 */
export const MISS_TIMEOUT_MS = 9_000;

/** Caches failed lookups for a while, so that upstream is not asked each time. */
export class NegativeCache {
  readonly #entries: LRUCache<string, NegativeEntry>;

  /** Beyond `max` entries, the least recently used one is evicted. */
  constructor(max: number, clock: Clock) {
    const perf = { now: () => clock.elapsed() };
    this.#entries = new LRUCache({ max, perf, ttlResolution: 0 });
  }

  get(id: string): NegativeEntry | undefined {
    const entry = this.#entries.get(id);
    if (entry?.kind !== "unavailable") return entry;
    return { kind: "unavailable", retryAfterMs: Math.max(1, Math.ceil(this.#entries.getRemainingTTL(id))) };
  }

  /** `afterMs`: Retry-After of upstream. */
  add(id: string, isUnauthorized: boolean, afterMs = 0): NegativeEntry {
    const ttl = isUnauthorized
      ? UNAUTHORIZED_TTL_MS
      : Math.min(Math.max(afterMs, RETRY_AFTER_FAILURE_MS), MAX_RETRY_DELAY_MS);
    const entry: NegativeEntry = isUnauthorized
      ? { kind: "unauthorized" }
      : { kind: "unavailable", retryAfterMs: ttl };
    this.#entries.set(id, entry, { ttl });
    return entry;
  }
}
