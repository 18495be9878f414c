import type { KeyGate, Throttled } from "../access/admission.ts";
import { NegativeCache, type NegativeEntry } from "../access/negative-cache.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { ManifestRecovery } from "./backup.ts";
import type { ProxiedLists } from "./proxied-lists.ts";
import type { ManifestRefresh, ManifestRefresher } from "./refresh.ts";
import type { HeldManifest, ManifestStore } from "./store.ts";

export type IdListLookup = { readonly kind: "held"; readonly held: HeldManifest } | NegativeEntry | Throttled;

/** While nothing is held, upstream may take so long before the backup is asked as well. */
const SLOW_UPSTREAM_MS = 1_000;

/** As long as the files of a first manifest are on their way, clients wait so long for them at most. */
const FIRST_FILES_MS = 2_000;

interface IdListQueryOptions {
  readonly store: ManifestStore;
  readonly refresher: Pick<ManifestRefresher, "refresh">;
  readonly clock: Clock;
  /** Negative answers remembered; beyond, the least recently used is forgotten. */
  readonly maxDenials: number;
  readonly gate: KeyGate;
  readonly recovery?: ManifestRecovery | undefined;
  /** Where the relay serves the files itself. */
  readonly proxied?: ProxiedLists | undefined;
}

/** What clients ask: the ID lists of a key. */
export class IdListQuery {
  readonly #options: IdListQueryOptions;
  readonly #denials: NegativeCache;
  readonly #asking = new Map<SdkKey, Promise<IdListLookup>>();

  constructor(options: IdListQueryOptions) {
    this.#options = options;
    this.#denials = new NegativeCache(options.maxDenials, options.clock);
  }

  /** What can be answered from memory at once. Takes any text for the key. */
  held(sdkKey: string): HeldManifest | undefined {
    const { store, proxied } = this.#options;
    const held = store.find(sdkKey);
    return proxied === undefined || proxied.isReady(sdkKey) ? held : undefined;
  }

  /** What is in memory, else what can be had of upstream and the backup now. */
  async ask(sdkKey: SdkKey): Promise<IdListLookup> {
    const held = this.held(sdkKey);
    if (held !== undefined) return { kind: "held", held };
    const denied = this.#options.gate.allows(sdkKey) ? this.#denials.get(sdkKey) : undefined;
    if (denied !== undefined) return denied;
    const asking =
      this.#asking.get(sdkKey) ?? this.#firstSight(sdkKey).finally(() => this.#asking.delete(sdkKey));
    this.#asking.set(sdkKey, asking);
    return asking;
  }

  async #firstSight(sdkKey: SdkKey): Promise<IdListLookup> {
    const { store, proxied, recovery, clock, gate } = this.#options;
    const refusal = await gate.refusal(sdkKey, recovery && (() => recovery.recover(sdkKey)));
    if (refusal !== undefined) return refusal;
    const outcome = store.peek(sdkKey) === undefined ? await this.#acquire(sdkKey) : undefined;
    const held = store.find(sdkKey);
    // Not remembered: it may be back on the list at any moment.
    if (held === undefined && !gate.allows(sdkKey)) return { kind: "unauthorized" };
    if (held === undefined) {
      if (outcome !== "unauthorized") gate.undecided(sdkKey);
      return this.#denials.add(sdkKey, outcome === "unauthorized");
    }
    if (proxied !== undefined) await withTimeout(proxied.ready(sdkKey), FIRST_FILES_MS, clock);
    return { kind: "held", held };
  }

  async #acquire(sdkKey: SdkKey): Promise<ManifestRefresh | undefined> {
    const { store, refresher, recovery, clock } = this.#options;
    const refresh = refresher.refresh(sdkKey);
    const slow = recovery && withTimeout(refresh, SLOW_UPSTREAM_MS, clock);
    const outcome = await (slow === undefined ? refresh : slow);
    if (outcome === undefined || outcome === "failed") await recovery?.recover(sdkKey);
    return store.peek(sdkKey) === undefined ? refresh : outcome;
  }
}
