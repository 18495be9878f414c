import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import { describeFeed, type Feed } from "./feed.ts";
import type { SpecStore } from "./store.ts";

/** The settings that a reload may change. */
interface ReadinessPlan {
  /** Feeds that are fetched before a client requests them. */
  readonly preload: readonly Feed[];
  /** How long ago upstream may have last confirmed these feeds, ms; undefined for no limit. */
  readonly maxStalenessMs: number | undefined;
}

interface ReadinessOptions extends ReadinessPlan {
  readonly store: Pick<SpecStore, "allows" | "holds" | "listen" | "peek">;
  readonly clock: Clock;
}

/** Limit of keys or feeds that a reason lists. */
const MAX_NAMED = 5;

/**
 * Decides whether the relay is ready, by the state of the preloaded keys. During the start it is not ready until each key was
 * held once. After that, the state of one key no longer keeps clients of the others away: neither its revocation, nor a key
 * that a reload adds.
 */
export class Readiness {
  readonly #store: ReadinessOptions["store"];
  readonly #clock: Clock;
  #plan: ReadinessPlan;
  /** Preloaded keys that were not held yet; empty once the start is over. */
  #awaited: Set<SdkKey>;

  constructor({ store, clock, ...plan }: ReadinessOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#plan = plan;
    this.#awaited = new Set(listKeys(plan).filter((sdkKey) => !store.holds(sdkKey)));
    store.listen({
      added: ({ feed }) => {
        if (this.#awaited.delete(feed.sdkKey)) this.#endStart();
      },
    });
  }

  /** Applies another plan. Its new keys are only waited for if the start is not over. */
  reconfigure(plan: ReadinessPlan): void {
    this.#endStart();
    const isStarting = this.#awaited.size > 0;
    const known = new Set(listKeys(this.#plan));
    this.#plan = plan;
    const awaited = this.#awaited;
    const isAwaited = (sdkKey: SdkKey) =>
      awaited.has(sdkKey) || (!known.has(sdkKey) && !this.#store.holds(sdkKey));
    this.#awaited = new Set(isStarting ? listKeys(plan).filter(isAwaited) : []);
  }

  /** Returns why the relay is not ready; empty if it is. */
  reasons(): readonly string[] {
    return [this.#missingReason(), this.#staleReason()].filter((reason) => reason !== undefined);
  }

  /** Ends the start if only keys that are not allowed are missing. They are not waited for even if they are allowed later. */
  #endStart(): void {
    for (const sdkKey of this.#awaited) if (this.#store.allows(sdkKey)) return;
    this.#awaited.clear();
  }

  #missingReason(): string | undefined {
    this.#endStart();
    const missing = [...this.#awaited].filter((sdkKey) => this.#store.allows(sdkKey));
    if (missing.length === 0) return undefined;
    const count = listKeys(this.#plan).length;
    return `${missing.length} of ${count} preloaded keys have no data yet: ${list(missing.map(maskSdkKey))}`;
  }

  /**
   * If a few keys are stale, the cause lies with these keys: upstream revoked them, or sends unusable payloads to every relay.
   * If most keys are stale, the cause lies with this relay, and another relay may serve clients better.
   */
  #staleReason(): string | undefined {
    const { preload, maxStalenessMs } = this.#plan;
    if (maxStalenessMs === undefined) return undefined;
    const [held, stale, staleThoughValid] = [new Set<SdkKey>(), new Set<SdkKey>(), new Set<SdkKey>()];
    const listed: string[] = [];
    for (const feed of preload) {
      const current = this.#store.peek(feed);
      if (current === undefined) continue;
      held.add(feed.sdkKey);
      const ageMs = current.confirmedAgoMs(this.#clock) ?? Number.POSITIVE_INFINITY;
      if (ageMs <= maxStalenessMs) continue;
      stale.add(feed.sdkKey);
      if (!current.isRevoked) staleThoughValid.add(feed.sdkKey);
      listed.push(`${describeFeed(feed)} ${formatAge(ageMs)}`);
    }
    // If upstream rejects all keys, it may be rejecting this relay. If it rejects a single key, no relay can help.
    const areAllStale = held.size > 1 && stale.size === held.size;
    if (2 * staleThoughValid.size <= held.size && !areAllStale) return undefined;
    const limitS = maxStalenessMs / 1_000;
    return `${listed.length} of ${preload.length} preloaded feeds not confirmed by upstream for ${limitS} s: ${list(listed)}`;
  }
}

function listKeys({ preload }: ReadinessPlan): readonly SdkKey[] {
  return [...new Set(preload.map(({ sdkKey }) => sdkKey))];
}

function formatAge(ageMs: number): string {
  return Number.isFinite(ageMs) ? `(${Math.floor(ageMs / 1_000)} s ago)` : "(never)";
}

function list(names: readonly string[]): string {
  return names.slice(0, MAX_NAMED).join(", ") + (names.length > MAX_NAMED ? ", ..." : "");
}
