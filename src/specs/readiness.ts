import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import { describeFeed, type Feed } from "./feed.ts";
import type { SpecStore } from "./store.ts";

/** What may change while the relay runs. */
interface ReadinessPlan {
  /** Fetched without being asked for. */
  readonly preload: readonly Feed[];
  /** How long ago upstream may have confirmed what is held of these; undefined if it does not matter. */
  readonly maxStalenessMs: number | undefined;
}

interface ReadinessOptions extends ReadinessPlan {
  readonly store: Pick<SpecStore, "allows" | "holds" | "listen" | "peek">;
  readonly clock: Clock;
}

/** As many keys or feeds as a reason names. */
const MAX_NAMED = 5;

/**
 * Why clients should not come here yet, or for now, by what is held of the preloaded keys. A start waits until each of them
 * was held once. After that, what becomes of one key does not keep clients of the others away: not its revocation, nor
 * another key that a reload adds.
 */
export class Readiness {
  readonly #store: ReadinessOptions["store"];
  readonly #clock: Clock;
  #plan: ReadinessPlan;
  /** Preloaded keys of which nothing was held yet; none any more once the start is over. */
  #awaited: Set<SdkKey>;

  constructor({ store, clock, ...plan }: ReadinessOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#plan = plan;
    this.#awaited = new Set(keysOf(plan).filter((sdkKey) => !store.holds(sdkKey)));
    store.listen({
      added: ({ feed }) => {
        if (this.#awaited.delete(feed.sdkKey)) this.#endStart();
      },
    });
  }

  /** Takes over another plan. Its new keys are only waited for if the start is not over. */
  follow(plan: ReadinessPlan): void {
    this.#endStart();
    const isStarting = this.#awaited.size > 0;
    const known = new Set(keysOf(this.#plan));
    this.#plan = plan;
    const awaited = this.#awaited;
    const isAwaited = (sdkKey: SdkKey) =>
      awaited.has(sdkKey) || (!known.has(sdkKey) && !this.#store.holds(sdkKey));
    this.#awaited = new Set(isStarting ? keysOf(plan).filter(isAwaited) : []);
  }

  /** None if the relay is ready. */
  reasons(): readonly string[] {
    return [this.#missingReason(), this.#staleReason()].filter((reason) => reason !== undefined);
  }

  /** If it is over: a key that may not be asked for is not waited for, nor if it is allowed later. */
  #endStart(): void {
    for (const sdkKey of this.#awaited) if (this.#store.allows(sdkKey)) return;
    this.#awaited.clear();
  }

  #missingReason(): string | undefined {
    this.#endStart();
    const missing = [...this.#awaited].filter((sdkKey) => this.#store.allows(sdkKey));
    if (missing.length === 0) return undefined;
    const count = keysOf(this.#plan).length;
    return `${missing.length} of ${count} preloaded keys have no data yet: ${list(missing.map(maskSdkKey))}`;
  }

  /**
   * What is stale of a few keys is a matter of these keys: upstream revoked them, or sends nothing that can be used, here and
   * everywhere. What is stale of most of them is a matter of this relay, and clients may be better off elsewhere.
   */
  #staleReason(): string | undefined {
    const { preload, maxStalenessMs } = this.#plan;
    if (maxStalenessMs === undefined) return undefined;
    const [held, stale, staleThoughValid] = [new Set<SdkKey>(), new Set<SdkKey>(), new Set<SdkKey>()];
    const found: string[] = [];
    for (const feed of preload) {
      const each = this.#store.peek(feed);
      if (each === undefined) continue;
      held.add(feed.sdkKey);
      const ageMs = each.confirmedAgoMs(this.#clock) ?? Number.POSITIVE_INFINITY;
      if (ageMs <= maxStalenessMs) continue;
      stale.add(feed.sdkKey);
      if (!each.isRevoked) staleThoughValid.add(feed.sdkKey);
      found.push(`${describeFeed(feed)} ${formatAge(ageMs)}`);
    }
    // Upstream that refuses all keys may refuse this relay alone; that of one key, no relay can do anything about.
    const areAllStale = held.size > 1 && stale.size === held.size;
    if (2 * staleThoughValid.size <= held.size && !areAllStale) return undefined;
    const limitS = maxStalenessMs / 1_000;
    return `${found.length} of ${preload.length} preloaded feeds not confirmed by upstream for ${limitS} s: ${list(found)}`;
  }
}

function keysOf({ preload }: ReadinessPlan): readonly SdkKey[] {
  return [...new Set(preload.map(({ sdkKey }) => sdkKey))];
}

function formatAge(ageMs: number): string {
  return Number.isFinite(ageMs) ? `(${Math.floor(ageMs / 1_000)} s ago)` : "(never)";
}

function list(names: readonly string[]): string {
  return names.slice(0, MAX_NAMED).join(", ") + (names.length > MAX_NAMED ? ", ..." : "");
}
