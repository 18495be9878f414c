import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { ProxiedLists } from "./proxied-lists.ts";
import type { IdListLookup, IdListQuery } from "./query.ts";
import { MIN_INTERVAL_MS } from "./refresh.ts";

/** Upstream has so long to send the lists of a key; then clients are let in without those that are missing. */
const LISTS_WITHIN_MS = 60_000;

/** How often it is looked whether lists that upstream lacked have come. */
const LOOK_AGAIN_MS = 1_000;

/** As many keys as a reason names. */
const MAX_NAMED = 5;

interface PreloadedListsOptions {
  readonly query: Pick<IdListQuery, "ask">;
  readonly proxied: ProxiedLists;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly allows: (sdkKey: SdkKey) => boolean;
  /** How often upstream is asked for a manifest that it fails to give, ms. */
  readonly retryEveryMs: () => number;
}

/** A preloaded key whose lists are not known. */
export interface UnknownLists {
  readonly sdkKey: SdkKey;
  /** Ms since the Unix epoch. */
  readonly since: number;
}

/**
 * Fetches the ID lists of preloaded keys before a client asks. Until each list of a key that the relay started with
 * was tried once, the relay is not ready; a list that fails, or that comes later, is a problem and no reason.
 */
export class PreloadedLists implements Disposable {
  readonly #options: PreloadedListsOptions;
  readonly #loops = new Map<SdkKey, AbortController>();
  /** Of these the lists were not all tried yet. */
  readonly #awaited = new Set<SdkKey>();
  readonly #unknown = new Map<SdkKey, number>();

  constructor(options: PreloadedListsOptions, sdkKeys: readonly SdkKey[]) {
    this.#options = options;
    for (const sdkKey of sdkKeys) this.#awaited.add(sdkKey);
    this.follow(sdkKeys);
  }

  /** Takes over other keys. Those that are added can't make the relay unready: it serves the others. */
  follow(sdkKeys: readonly SdkKey[]): void {
    const wanted = new Set(sdkKeys);
    for (const sdkKey of [...this.#loops.keys()]) if (!wanted.has(sdkKey)) this.#end(sdkKey);
    for (const sdkKey of wanted) if (!this.#loops.has(sdkKey)) this.#begin(sdkKey);
  }

  /** Why clients should not come yet; none if they may. */
  notReady(): readonly string[] {
    const { proxied, allows } = this.#options;
    const reasons = [...this.#awaited].filter(allows).flatMap((sdkKey) => {
      const progress = proxied.progress(sdkKey);
      const masked = maskSdkKey(sdkKey);
      if (progress === undefined) return [`the ID lists of ${masked} are not known yet`];
      const { untried, lists } = progress;
      return untried === 0 ? [] : [`${untried} of ${lists} ID lists of ${masked} are not on disk yet`];
    });
    const more = reasons.length - MAX_NAMED;
    return more > 0 ? [...reasons.slice(0, MAX_NAMED), `and those of ${more} more keys`] : reasons;
  }

  /** Keys that upstream has not given a manifest for since they were preloaded, though it was asked. */
  get unknown(): readonly UnknownLists[] {
    const unknown = [...this.#unknown].filter(([sdkKey]) => this.#options.allows(sdkKey));
    return unknown.map(([sdkKey, since]) => ({ sdkKey, since }));
  }

  #begin(sdkKey: SdkKey): void {
    const loop = new AbortController();
    this.#loops.set(sdkKey, loop);
    const { clock, supervisor } = this.#options;
    void this.#giveUp(sdkKey, loop.signal);
    void supervisor.loop("id_list_polls", loop.signal, async () => {
      const answer = await this.#ask(sdkKey);
      if (loop.signal.aborted) return;
      if (answer.kind === "held") {
        await this.#arrived(sdkKey, loop);
        return;
      }
      if (answer.kind === "unauthorized") this.#awaited.delete(sdkKey);
      if (!this.#unknown.has(sdkKey)) this.#unknown.set(sdkKey, clock.now());
      await clock.sleep(this.#retryAfterMs(answer), loop.signal);
    });
  }

  async #giveUp(sdkKey: SdkKey, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    try {
      await clock.sleep(LISTS_WITHIN_MS, signal);
    } catch {
      return;
    }
    this.#awaited.delete(sdkKey);
  }

  async #ask(sdkKey: SdkKey): Promise<IdListLookup> {
    const { query, allows } = this.#options;
    return allows(sdkKey) ? query.ask(sdkKey) : { kind: "unauthorized" };
  }

  #retryAfterMs(answer: Exclude<IdListLookup, { readonly kind: "held" }>): number {
    if (answer.kind === "unauthorized") return MIN_INTERVAL_MS;
    return Math.max(answer.retryAfterMs, this.#options.retryEveryMs());
  }

  /** The poller asks from here on. */
  async #arrived(sdkKey: SdkKey, loop: AbortController): Promise<void> {
    this.#unknown.delete(sdkKey);
    await this.#options.proxied.ready(sdkKey);
    if (loop.signal.aborted) return;
    if (this.#awaited.has(sdkKey) && this.#options.proxied.progress(sdkKey)?.untried !== 0) {
      // Upstream is a relay that doesn't have them all itself yet.
      await this.#options.clock.sleep(LOOK_AGAIN_MS, loop.signal);
      return;
    }
    this.#awaited.delete(sdkKey);
    loop.abort(new Error("the lists are held"));
  }

  #end(sdkKey: SdkKey): void {
    this.#loops.get(sdkKey)?.abort(new Error("the key is no longer preloaded"));
    this.#loops.delete(sdkKey);
    this.#awaited.delete(sdkKey);
    this.#unknown.delete(sdkKey);
  }

  [Symbol.dispose](): void {
    for (const sdkKey of [...this.#loops.keys()]) this.#end(sdkKey);
  }
}
