import PQueue from "p-queue";
import type { SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { ManifestWriter } from "./backup.ts";
import type { EmitIdListEvent } from "./events.ts";
import { type Manifest, type ManifestOutcome, type ManifestSource, readManifest } from "./manifest.ts";
import type { ManifestStore } from "./store.ts";

/** What a request to upstream came to. Whether a manifest is held now, the store tells. */
export type ManifestRefresh = "fresh" | "unauthorized" | "failed";

interface ManifestRefresherOptions {
  readonly source: ManifestSource;
  readonly store: ManifestStore;
  readonly emit: EmitIdListEvent;
  readonly maxInFlight: number;
  /** Drop what is held when upstream says 401 or 403. Else it is served on: last known good. */
  readonly clearOnUnauthorized: boolean;
  readonly writer?: ManifestWriter | undefined;
  /** Ends requests to upstream on shutdown. */
  readonly signal: AbortSignal;
}

/** Requests that may wait for a place. */
const MAX_WAITING = 20_000;

/** Asks upstream for a key's manifest, checks it, and has it held and backed up. One at a time for each key. */
export class ManifestRefresher {
  readonly #options: ManifestRefresherOptions;
  readonly #queue: PQueue;
  readonly #underway = new Map<SdkKey, Promise<ManifestRefresh>>();

  constructor(options: ManifestRefresherOptions) {
    this.#options = options;
    this.#queue = new PQueue({ concurrency: options.maxInFlight });
  }

  /** However many ask for a key at the same moment, upstream is asked once. Rejects only on shutdown. */
  refresh(sdkKey: SdkKey): Promise<ManifestRefresh> {
    if (!this.#options.store.allows(sdkKey)) return Promise.resolve("unauthorized");
    const underway = this.#underway.get(sdkKey);
    if (underway !== undefined) return underway;
    if (this.#queue.size >= MAX_WAITING) return Promise.resolve("failed");
    const begun = this.#queue
      .add(() => this.#refreshNow(sdkKey))
      .finally(() => this.#underway.delete(sdkKey));
    this.#underway.set(sdkKey, begun);
    return begun;
  }

  async #refreshNow(sdkKey: SdkKey): Promise<ManifestRefresh> {
    const { source, store, signal } = this.#options;
    const asked = store.peek(sdkKey);
    const outcome = await source.fetchManifest(sdkKey, signal);
    // It made room for another meanwhile: a poll must not bring it back.
    if (asked !== undefined && store.peek(sdkKey) !== asked) return "failed";
    return this.#apply(sdkKey, outcome);
  }

  #apply(sdkKey: SdkKey, outcome: ManifestOutcome): ManifestRefresh {
    const { store, emit } = this.#options;
    const held = store.peek(sdkKey) !== undefined;
    switch (outcome.kind) {
      case "manifest": {
        const manifest = readManifest(outcome.text);
        if (typeof manifest !== "string") return this.#take(sdkKey, manifest);
        emit({ kind: "id_lists_refused", sdkKey, detail: manifest, held });
        return "failed";
      }
      case "unauthorized":
        return this.#refused(sdkKey, outcome.status, held);
      case "failed":
        emit({
          kind: "id_lists_fetch_failed",
          sdkKey,
          cause: outcome.cause,
          detail: outcome.detail,
          held,
        });
        return "failed";
    }
  }

  #take(sdkKey: SdkKey, manifest: Manifest): ManifestRefresh {
    const { store, emit, writer } = this.#options;
    const changed = store.peek(sdkKey)?.manifest.text !== manifest.text;
    if (!store.put(sdkKey, manifest)) return "unauthorized";
    writer?.confirmed(sdkKey, manifest);
    for (const list of manifest.leftOut)
      emit({
        kind: "id_list_left_out",
        sdkKey,
        list,
        detail: "its name, url or fileID is no well-formed text",
      });
    if (changed) emit({ kind: "id_lists_updated", sdkKey, lists: manifest.entries.size, source: "upstream" });
    else emit({ kind: "id_lists_unchanged", sdkKey });
    return "fresh";
  }

  #refused(sdkKey: SdkKey, status: number, held: boolean): ManifestRefresh {
    const { store, emit, writer, clearOnUnauthorized } = this.#options;
    if (held && !clearOnUnauthorized) {
      emit({ kind: "id_lists_unauthorized", sdkKey, status, whatIsHeld: "kept" });
      return "unauthorized";
    }
    store.remove(sdkKey);
    if (clearOnUnauthorized) writer?.remove(sdkKey);
    emit({ kind: "id_lists_unauthorized", sdkKey, status, whatIsHeld: held ? "cleared" : "denied" });
    return "unauthorized";
  }
}

/** Upstream is not asked for a key's ID lists more often than this, unless it is a relay that lacks some of their files. */
export const MIN_INTERVAL_MS = 60_000;

/** Part of the interval that is added by chance, so that keys and relays do not ask in step. */
const JITTER = 0.1;

interface ManifestPollerOptions {
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
