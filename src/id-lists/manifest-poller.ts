import type { Clock } from "../clock.ts";
import type { SdkKey } from "../specs/sdk-key.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import type { ManifestRefresher } from "./manifest-refresh.ts";
import type { ManifestStore } from "./manifest-store.ts";

/** Upstream is not asked for a key's ID lists more often than this, unless it is a relay that lacks some of their files. */
export const MIN_INTERVAL_MS = 60_000;

/** Part of the interval that is added by chance, so that keys and relays do not ask in step. */
const JITTER = 0.1;

export interface ManifestPollerOptions {
  readonly store: ManifestStore;
  readonly refresher: Pick<ManifestRefresher, "refresh">;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  /** How often config specs are polled. */
  readonly specIntervalMs: number;
}

/**
 * Asks upstream for the manifest of each held key, again and again, each in its own loop. No back-off: the interval
 * is as long as one would grow.
 */
export class ManifestPoller implements Disposable {
  readonly #options: ManifestPollerOptions;
  #specIntervalMs: number;
  readonly #loops = new Map<SdkKey, AbortController>();

  constructor(options: ManifestPollerOptions) {
    this.#options = options;
    this.#specIntervalMs = options.specIntervalMs;
    options.store.listen({
      put: ({ sdkKey }, isFirst) => {
        if (isFirst) this.#begin(sdkKey);
      },
      removed: (sdkKey) => this.#end(sdkKey),
    });
  }

  /** From now on config specs are polled so often. Every wait begins anew. */
  pollEvery(specIntervalMs: number): void {
    const before = this.#specIntervalMs;
    this.#specIntervalMs = specIntervalMs;
    if (intervalFor(specIntervalMs) === intervalFor(before)) return;
    for (const sdkKey of [...this.#loops.keys()]) this.#begin(sdkKey);
  }

  #begin(sdkKey: SdkKey): void {
    this.#end(sdkKey);
    const loop = new AbortController();
    this.#loops.set(sdkKey, loop);
    const { clock, refresher, supervisor } = this.#options;
    void supervisor.loop("id_list_polls", loop.signal, async () => {
      await clock.sleep(this.#intervalOf(sdkKey) * (1 + JITTER * Math.random()), loop.signal);
      await refresher.refresh(sdkKey);
    });
  }

  #intervalOf(sdkKey: SdkKey): number {
    const isIncomplete = this.#options.store.peek(sdkKey)?.manifest.isIncomplete === true;
    return isIncomplete ? this.#specIntervalMs : intervalFor(this.#specIntervalMs);
  }

  #end(sdkKey: SdkKey): void {
    this.#loops.get(sdkKey)?.abort(new Error("the key is no longer held"));
    this.#loops.delete(sdkKey);
  }

  [Symbol.dispose](): void {
    for (const sdkKey of [...this.#loops.keys()]) this.#end(sdkKey);
  }
}

const intervalFor = (specIntervalMs: number): number => Math.max(MIN_INTERVAL_MS, specIntervalMs);
