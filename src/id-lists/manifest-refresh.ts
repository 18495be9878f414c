import PQueue from "p-queue";
import type { SdkKey } from "../specs/sdk-key.ts";
import type { EmitIdListEvent } from "./events.ts";
import { type Manifest, readManifest } from "./manifest.ts";
import type { ManifestOutcome, ManifestSource } from "./manifest-source.ts";
import type { ManifestStore } from "./manifest-store.ts";
import type { ManifestWriter } from "./manifest-writer.ts";

/** What a request to upstream came to. Whether a manifest is held now, the store tells. */
export type ManifestRefresh = "fresh" | "unauthorized" | "failed";

export interface ManifestRefresherOptions {
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
