import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { ProxiedLists } from "./proxied-lists.ts";
import type { IdListLookup, IdListQuery } from "./query.ts";
import { MIN_INTERVAL_MS } from "./refresh.ts";

/** How long the relay waits for the lists of a key. After that, it is ready without them. */
const LISTS_TIMEOUT_MS = 60_000;

/** How often it is checked whether lists that upstream lacked have arrived. */
const CHECK_EVERY_MS = 1_000;

/** The limit of keys that the reasons name. */
const MAX_NAMED_KEYS = 5;

interface PreloadedListsOptions {
  readonly query: Pick<IdListQuery, "ask">;
  readonly proxied: ProxiedLists;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly allows: (sdkKey: SdkKey) => boolean;
  /** Returns the interval of retries while upstream sends no manifest, in ms. */
  readonly retryEveryMs: () => number;
}

/** A preloaded key for which upstream has sent no manifest. */
export interface UnknownLists {
  readonly sdkKey: SdkKey;
  /** In ms since the Unix epoch. */
  readonly since: number;
}

/**
 * Fetches the ID lists of preloaded keys before a client requests them. The relay is not ready until each list of the keys that
 * it started with was tried once. A list that fails then, or of a key that was added later, is a problem on the status page,
 * but does not make the relay unready.
 */
export class PreloadedLists implements Disposable {
  readonly #options: PreloadedListsOptions;
  readonly #loops = new Map<SdkKey, AbortController>();
  /** Keys that the relay waits for to become ready. */
  readonly #awaited = new Set<SdkKey>();
  readonly #unknown = new Map<SdkKey, number>();

  constructor(options: PreloadedListsOptions, sdkKeys: readonly SdkKey[]) {
    this.#options = options;
    for (const sdkKey of sdkKeys) this.#awaited.add(sdkKey);
    this.setKeys(sdkKeys);
  }

  /** Replaces the preloaded keys. Added keys do not make the relay unready, because it serves the others. */
  setKeys(sdkKeys: readonly SdkKey[]): void {
    const wanted = new Set(sdkKeys);
    for (const sdkKey of [...this.#loops.keys()]) if (!wanted.has(sdkKey)) this.#endLoop(sdkKey);
    for (const sdkKey of wanted) if (!this.#loops.has(sdkKey)) this.#startLoop(sdkKey);
  }

  /** Returns the reasons why the relay is not ready; empty if it is. */
  notReady(): readonly string[] {
    const { proxied, allows } = this.#options;
    const reasons = [...this.#awaited].filter(allows).flatMap((sdkKey) => {
      const progress = proxied.progress(sdkKey);
      const masked = maskSdkKey(sdkKey);
      if (progress === undefined) return [`the ID lists of ${masked} are not known yet`];
      const { untried, lists } = progress;
      return untried === 0 ? [] : [`${untried} of ${lists} ID lists of ${masked} are not on disk yet`];
    });
    const more = reasons.length - MAX_NAMED_KEYS;
    return more > 0 ? [...reasons.slice(0, MAX_NAMED_KEYS), `and those of ${more} more keys`] : reasons;
  }

  /** Preloaded keys for which every request for a manifest failed so far. */
  get unknown(): readonly UnknownLists[] {
    const unknown = [...this.#unknown].filter(([sdkKey]) => this.#options.allows(sdkKey));
    return unknown.map(([sdkKey, since]) => ({ sdkKey, since }));
  }

  #startLoop(sdkKey: SdkKey): void {
    const loop = new AbortController();
    this.#loops.set(sdkKey, loop);
    const { clock, supervisor } = this.#options;
    void this.#expire(sdkKey, loop.signal);
    void supervisor.loop("id_list_polls", loop.signal, async () => {
      const lookup = await this.#fetch(sdkKey);
      if (loop.signal.aborted) return;
      if (lookup.kind === "held") {
        await this.#finish(sdkKey, loop);
        return;
      }
      if (lookup.kind === "unauthorized") this.#awaited.delete(sdkKey);
      if (!this.#unknown.has(sdkKey)) this.#unknown.set(sdkKey, clock.now());
      await clock.sleep(this.#retryAfterMs(lookup), loop.signal);
    });
  }

  /** Stops waiting for the key after a while. */
  async #expire(sdkKey: SdkKey, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    try {
      await clock.sleep(LISTS_TIMEOUT_MS, signal);
    } catch {
      return;
    }
    this.#awaited.delete(sdkKey);
  }

  async #fetch(sdkKey: SdkKey): Promise<IdListLookup> {
    const { query, allows } = this.#options;
    return allows(sdkKey) ? query.ask(sdkKey) : { kind: "unauthorized" };
  }

  #retryAfterMs(lookup: Exclude<IdListLookup, { readonly kind: "held" }>): number {
    if (lookup.kind === "unauthorized") return MIN_INTERVAL_MS;
    return Math.max(lookup.retryAfterMs, this.#options.retryEveryMs());
  }

  /** Ends the loop once the lists of the first manifest were tried. The poller requests the manifest from then on. */
  async #finish(sdkKey: SdkKey, loop: AbortController): Promise<void> {
    this.#unknown.delete(sdkKey);
    await this.#options.proxied.ready(sdkKey);
    if (loop.signal.aborted) return;
    if (this.#awaited.has(sdkKey) && this.#options.proxied.progress(sdkKey)?.untried !== 0) {
      // Upstream is a relay that does not have all files yet.
      await this.#options.clock.sleep(CHECK_EVERY_MS, loop.signal);
      return;
    }
    this.#awaited.delete(sdkKey);
    loop.abort(new Error("the lists are held"));
  }

  #endLoop(sdkKey: SdkKey): void {
    this.#loops.get(sdkKey)?.abort(new Error("the key is no longer preloaded"));
    this.#loops.delete(sdkKey);
    this.#awaited.delete(sdkKey);
    this.#unknown.delete(sdkKey);
  }

  [Symbol.dispose](): void {
    for (const sdkKey of [...this.#loops.keys()]) this.#endLoop(sdkKey);
  }
}
