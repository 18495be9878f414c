import type { KeyGate, Throttled } from "../access/admission.ts";
import { MISS_TIMEOUT_MS, NegativeCache, type NegativeEntry } from "../access/negative-cache.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { ManifestRecovery } from "./backup.ts";
import type { ProxiedLists } from "./proxied-lists.ts";
import type { ManifestRefresh, ManifestRefresher } from "./refresh.ts";
import type { HeldManifest, ManifestStore } from "./store.ts";

export type IdListLookup = { readonly kind: "held"; readonly held: HeldManifest } | NegativeEntry | Throttled;

/** On a cache miss, the backup is read too if upstream takes longer than this. */
const SLOW_UPSTREAM_MS = 1_000;

/** How long a client waits at most for the files of a key's first manifest. */
const FIRST_FILES_MS = 2_000;

interface IdListQueryOptions {
  readonly store: ManifestStore;
  readonly refresher: Pick<ManifestRefresher, "refresh">;
  readonly clock: Clock;
  /** The size of the negative cache. Above it, the least recently used entry is evicted. */
  readonly maxNegativeEntries: number;
  readonly gate: KeyGate;
  readonly recovery?: ManifestRecovery | undefined;
  /** Set if the relay serves the list files itself. */
  readonly proxied?: ProxiedLists | undefined;
}

/** Finds the ID lists of a key for clients. */
export class IdListQuery {
  readonly #options: IdListQueryOptions;
  readonly #negative: NegativeCache;
  readonly #inFlight = new Map<SdkKey, Promise<IdListLookup>>();

  constructor(options: IdListQueryOptions) {
    this.#options = options;
    this.#negative = new NegativeCache(options.maxNegativeEntries, options.clock);
  }

  /** Returns what is in memory and ready to serve, or undefined. Accepts any text as the key. */
  held(sdkKey: string): HeldManifest | undefined {
    const { store, proxied } = this.#options;
    const held = store.find(sdkKey);
    return proxied === undefined || proxied.isReady(sdkKey) ? held : undefined;
  }

  /** Returns what is in memory; on a cache miss, fetches it from upstream or the backup. Resolves within {@link MISS_TIMEOUT_MS}. */
  async ask(sdkKey: SdkKey): Promise<IdListLookup> {
    const held = this.held(sdkKey);
    if (held !== undefined) return { kind: "held", held };
    const negative = this.#options.gate.allows(sdkKey) ? this.#negative.get(sdkKey) : undefined;
    if (negative !== undefined) return negative;
    const lookup =
      this.#inFlight.get(sdkKey) ?? this.#fetchOnMiss(sdkKey).finally(() => this.#inFlight.delete(sdkKey));
    this.#inFlight.set(sdkKey, lookup);
    const inTime = await withTimeout(lookup, MISS_TIMEOUT_MS, this.#options.clock);
    return inTime ?? this.#toNegative(sdkKey, false);
  }

  /** Remembers for a while that there is nothing to serve. */
  #toNegative(sdkKey: SdkKey, isUnauthorized: boolean): IdListLookup {
    const { gate } = this.#options;
    // Not put into the negative cache: the allow list may contain the key again at any moment.
    if (!gate.allows(sdkKey)) return { kind: "unauthorized" };
    if (!isUnauthorized) gate.undecided(sdkKey);
    return this.#negative.add(sdkKey, isUnauthorized);
  }

  async #fetchOnMiss(sdkKey: SdkKey): Promise<IdListLookup> {
    const { store, proxied, recovery, clock, gate } = this.#options;
    const refusal = await gate.refusal(sdkKey, recovery && (() => recovery.recover(sdkKey)));
    if (refusal !== undefined) return refusal;
    const outcome = store.peek(sdkKey) === undefined ? await this.#acquire(sdkKey) : undefined;
    const held = store.find(sdkKey);
    if (held === undefined) return this.#toNegative(sdkKey, outcome === "unauthorized");
    if (proxied !== undefined) await withTimeout(proxied.ready(sdkKey), FIRST_FILES_MS, clock);
    return { kind: "held", held };
  }

  async #acquire(sdkKey: SdkKey): Promise<ManifestRefresh | undefined> {
    const { store, refresher, recovery, clock } = this.#options;
    const refresh = refresher.refresh(sdkKey);
    const outcome = await (recovery === undefined ? refresh : withTimeout(refresh, SLOW_UPSTREAM_MS, clock));
    if (outcome === undefined || outcome === "failed") await recovery?.recover(sdkKey);
    return store.peek(sdkKey) === undefined ? refresh : outcome;
  }
}
