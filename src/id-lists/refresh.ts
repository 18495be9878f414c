import PQueue from "p-queue";
import type { SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import type { Spacing } from "../platform/spacing.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { ManifestWriter } from "./backup.ts";
import type { EmitIdListEvent } from "./events.ts";
import { type Manifest, type ManifestOutcome, type ManifestSource, parseManifest } from "./manifest.ts";
import type { ManifestStore } from "./store.ts";

/** The result of a request to upstream. The store has the manifest. */
export type ManifestRefresh = "fresh" | "unauthorized" | "failed";

interface ManifestRefresherOptions {
  readonly source: ManifestSource;
  /** What the source is called in logs and metrics. */
  readonly sourceName: "upstream" | "offline";
  readonly store: ManifestStore;
  readonly emit: EmitIdListEvent;
  readonly maxInFlight: number;
  /** Removes what is held when upstream responds 401 or 403. If false, the last known good manifest is served. */
  readonly clearOnUnauthorized: boolean;
  readonly writer?: ManifestWriter | undefined;
  /** Aborts requests to upstream on shutdown. */
  readonly signal: AbortSignal;
}

/** The limit of requests that wait because `maxInFlight` are in flight. */
const MAX_WAITING = 20_000;

/** Requests manifests from upstream, validates them, and puts them into the store and the backup. */
export class ManifestRefresher {
  readonly #options: ManifestRefresherOptions;
  readonly #queue: PQueue;
  readonly #inFlight = new Map<SdkKey, Promise<ManifestRefresh>>();

  constructor(options: ManifestRefresherOptions) {
    this.#options = options;
    this.#queue = new PQueue({ concurrency: options.maxInFlight });
  }

  /** Calls for a key that has a request in flight share that request. Rejects only on shutdown. */
  refresh(sdkKey: SdkKey): Promise<ManifestRefresh> {
    if (!this.#options.store.allows(sdkKey)) return Promise.resolve("unauthorized");
    const inFlight = this.#inFlight.get(sdkKey);
    if (inFlight !== undefined) return inFlight;
    if (this.#queue.size >= MAX_WAITING) return Promise.resolve("failed");
    const refresh = this.#queue
      .add(() => this.#refreshNow(sdkKey))
      .finally(() => this.#inFlight.delete(sdkKey));
    this.#inFlight.set(sdkKey, refresh);
    return refresh;
  }

  /** As {@link refresh}, with a request that starts after the call. */
  async refreshAfresh(sdkKey: SdkKey): Promise<ManifestRefresh> {
    // Upstream may have answered it before it had the change. If it fails, the next one shows that.
    await this.#inFlight.get(sdkKey)?.catch(() => undefined);
    return this.refresh(sdkKey);
  }

  async #refreshNow(sdkKey: SdkKey): Promise<ManifestRefresh> {
    const { source, store, signal } = this.#options;
    const before = store.peek(sdkKey);
    const outcome = await source.fetchManifest(sdkKey, signal);
    // The key was evicted during the request: a poll must not bring it back.
    if (before !== undefined && store.peek(sdkKey) !== before) return "failed";
    return this.#apply(sdkKey, outcome);
  }

  #apply(sdkKey: SdkKey, outcome: ManifestOutcome): ManifestRefresh {
    const { store, emit } = this.#options;
    const held = store.peek(sdkKey) !== undefined;
    switch (outcome.kind) {
      case "manifest": {
        const manifest = parseManifest(outcome.text);
        if (typeof manifest !== "string") return this.#store(sdkKey, manifest);
        emit({ kind: "id_lists_refused", sdkKey, detail: manifest, held });
        return "failed";
      }
      case "unauthorized":
        return this.#reject(sdkKey, outcome.status, held);
      case "failed":
        emit({ kind: "id_lists_fetch_failed", sdkKey, cause: outcome.cause, detail: outcome.detail, held });
        return "failed";
    }
  }

  #store(sdkKey: SdkKey, manifest: Manifest): ManifestRefresh {
    const { store, emit, writer, sourceName: source } = this.#options;
    const changed = store.peek(sdkKey)?.manifest.text !== manifest.text;
    if (!store.put(sdkKey, manifest)) return "unauthorized";
    writer?.confirm(sdkKey, manifest);
    for (const list of manifest.leftOut)
      emit({ kind: "id_list_left_out", sdkKey, list, detail: NOT_WELL_FORMED });
    if (changed) emit({ kind: "id_lists_updated", sdkKey, lists: manifest.entries.size, source });
    else emit({ kind: "id_lists_unchanged", sdkKey });
    return "fresh";
  }

  #reject(sdkKey: SdkKey, status: number, held: boolean): ManifestRefresh {
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

const NOT_WELL_FORMED = "name, url or fileID is not well-formed Unicode";

/** The shortest interval of polls of a key's manifest, unless upstream is a relay that does not have all files yet. */
export const MIN_INTERVAL_MS = 60_000;

/** The largest random part of an interval that is added to it, so that keys and relays do not poll in step. */
const JITTER = 0.1;

interface ManifestPollerOptions {
  readonly store: ManifestStore;
  readonly refresher: Pick<ManifestRefresher, "refresh">;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  /** Minimum time between the starts of two polls. */
  readonly spacing: Spacing;
  /** The poll interval of config specs, in ms. */
  readonly specIntervalMs: number;
}

/** Polls the manifest of each held key in a loop of its own. There is no backoff: the interval is as long as one would become. */
export class ManifestPoller implements Disposable {
  readonly #options: ManifestPollerOptions;
  #specIntervalMs: number;
  readonly #loops = new Map<SdkKey, AbortController>();

  constructor(options: ManifestPollerOptions) {
    this.#options = options;
    this.#specIntervalMs = options.specIntervalMs;
    options.store.listen({
      put: ({ sdkKey }, isFirst) => {
        if (isFirst) this.#startLoop(sdkKey);
      },
      removed: (sdkKey) => this.#endLoop(sdkKey),
    });
  }

  /** Changes the poll interval of config specs. If that changes the interval of manifests, every wait starts again. */
  setSpecInterval(specIntervalMs: number): void {
    const before = this.#specIntervalMs;
    this.#specIntervalMs = specIntervalMs;
    if (toManifestInterval(specIntervalMs) === toManifestInterval(before)) return;
    for (const sdkKey of [...this.#loops.keys()]) this.#startLoop(sdkKey);
  }

  #startLoop(sdkKey: SdkKey): void {
    this.#endLoop(sdkKey);
    const loop = new AbortController();
    this.#loops.set(sdkKey, loop);
    const { clock, refresher, supervisor, spacing } = this.#options;
    void supervisor.loop("id_list_polls", loop.signal, async () => {
      await clock.sleep(this.#interval(sdkKey) * (1 + JITTER * Math.random()), loop.signal);
      await spacing.turn(loop.signal);
      await refresher.refresh(sdkKey);
    });
  }

  #interval(sdkKey: SdkKey): number {
    const isIncomplete = this.#options.store.peek(sdkKey)?.manifest.isIncomplete === true;
    return isIncomplete ? this.#specIntervalMs : toManifestInterval(this.#specIntervalMs);
  }

  #endLoop(sdkKey: SdkKey): void {
    this.#loops.get(sdkKey)?.abort(new Error("the key is no longer held"));
    this.#loops.delete(sdkKey);
  }

  [Symbol.dispose](): void {
    for (const sdkKey of [...this.#loops.keys()]) this.#endLoop(sdkKey);
  }
}

const toManifestInterval = (specIntervalMs: number): number => Math.max(MIN_INTERVAL_MS, specIntervalMs);
