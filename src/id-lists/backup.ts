import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { EmitIdListEvent } from "./events.ts";
import { type Manifest, type ManifestBackup, readManifest } from "./manifest.ts";
import type { ManifestStore } from "./store.ts";

interface ManifestWriterOptions {
  readonly backup: ManifestBackup;
  readonly store: ManifestStore;
  readonly clock: Clock;
  readonly emit: EmitIdListEvent;
  /** Well below the time after which the backup forgets, ms. */
  readonly rewriteEveryMs: number;
}

/** What could not be removed is removed after so long, again and again. */
const REMOVE_AGAIN_MS = 1_000;

/** Of so many keys at once; for one more that fails, it is reported and not tried again. */
const MAX_REMOVALS = 10_000;

/** How long shutdown waits for what is not written yet. */
const FLUSH_MS = 3_000;

interface Written {
  readonly text: string;
  readonly at: number;
}

/**
 * Brings manifests into the backup: each that is new, and each again before the backup
 * forgets it. What could not be written is written after the next poll; what could not be removed is removed as soon as
 * the backup works, before anything else is written of the key. No request waits for it.
 */
export class ManifestWriter implements AsyncDisposable {
  readonly #options: ManifestWriterOptions;
  readonly #written = new Map<SdkKey, Written>();
  /** When upstream sent what is held of a key, ms since the Unix epoch. */
  readonly #confirmedAt = new Map<SdkKey, number>();
  readonly #underway = new Set<Promise<void>>();
  readonly #removing = new Set<SdkKey>();
  readonly #stopping = new AbortController();

  constructor(options: ManifestWriterOptions) {
    this.#options = options;
    options.store.listen({
      put: () => {},
      removed: (sdkKey) => {
        this.#written.delete(sdkKey);
        this.#confirmedAt.delete(sdkKey);
      },
    });
  }

  /** Upstream sent it just now. */
  confirmed(sdkKey: SdkKey, manifest: Manifest): void {
    const { clock, rewriteEveryMs } = this.#options;
    const { text } = manifest;
    const before = this.#written.get(sdkKey);
    const at = clock.now();
    this.#confirmedAt.set(sdkKey, at);
    if (before?.text === text && at - before.at < rewriteEveryMs) return;
    // It is written after the next poll.
    if (this.#removing.has(sdkKey)) return;
    this.#written.set(sdkKey, { text, at });
    this.#wait(this.#write(sdkKey, text, at));
  }

  /** The backup may be another one than before, and lack what that had: everything is written again, one by one. */
  writeAgain(): void {
    this.#written.clear();
    this.#wait(this.#writeHeld([...this.#confirmedAt.keys()]));
  }

  async #writeHeld(sdkKeys: readonly SdkKey[]): Promise<void> {
    for (const sdkKey of sdkKeys) {
      const at = this.#confirmedAt.get(sdkKey);
      const text = this.#options.store.peek(sdkKey)?.manifest.text;
      if (this.#stopping.signal.aborted || at === undefined || text === undefined) continue;
      if (this.#written.has(sdkKey) || this.#removing.has(sdkKey)) continue;
      this.#written.set(sdkKey, { text, at });
      await this.#write(sdkKey, text, at);
    }
  }

  remove(sdkKey: SdkKey): void {
    if (this.#removing.has(sdkKey)) return;
    this.#wait(this.#remove(sdkKey));
  }

  /** What the backup has of the key is to be removed. */
  isRemoving(sdkKey: SdkKey): boolean {
    return this.#removing.has(sdkKey);
  }

  async #write(sdkKey: SdkKey, text: string, at: number): Promise<void> {
    try {
      await this.#options.backup.writeManifest(sdkKey, text, at);
    } catch (error) {
      this.#written.delete(sdkKey);
      this.#failed(sdkKey, "write", error);
    }
  }

  async #remove(sdkKey: SdkKey): Promise<void> {
    const { backup, clock } = this.#options;
    const { signal } = this.#stopping;
    const isRetried = this.#removing.size < MAX_REMOVALS;
    if (isRetried) this.#removing.add(sdkKey);
    for (let failures = 0; ; failures++) {
      // Shutdown ends the wait, and it is tried once more.
      const isLast = !isRetried || signal.aborted;
      try {
        await backup.removeManifest(sdkKey);
        break;
      } catch (error) {
        if (failures === 0) this.#failed(sdkKey, "remove", error);
        if (isLast) break;
      }
      await clock.sleep(REMOVE_AGAIN_MS, signal).catch(() => {});
    }
    if (isRetried) this.#removing.delete(sdkKey);
  }

  #failed(sdkKey: SdkKey, action: "write" | "remove", error: unknown): void {
    this.#options.emit({ kind: "id_lists_backup_failed", sdkKey, action, detail: String(error) });
  }

  #wait(work: Promise<void>): void {
    const done = work.finally(() => this.#underway.delete(done));
    this.#underway.add(done);
  }

  /** Finishes what is underway. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the relay is shutting down"));
    await withTimeout(Promise.all(this.#underway), FLUSH_MS, this.#options.clock);
  }
}

interface ManifestRecoveryOptions {
  readonly backup: ManifestBackup;
  readonly store: ManifestStore;
  readonly emit: EmitIdListEvent;
  /** Whether what the backup has of the key is to be removed: then it is not taken back. */
  readonly isRemoving: (sdkKey: SdkKey) => boolean;
}

/** Takes a manifest back from the backup, where nothing is held. */
export class ManifestRecovery {
  readonly #options: ManifestRecoveryOptions;

  constructor(options: ManifestRecoveryOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async recover(sdkKey: SdkKey): Promise<void> {
    const { backup, store, emit, isRemoving } = this.#options;
    if (isRemoving(sdkKey)) return;
    try {
      const text = await backup.readManifest(sdkKey);
      if (text === undefined) return;
      const manifest = readManifest(text);
      if (typeof manifest === "string") throw new Error(`the entry is no manifest: ${manifest}`);
      // What upstream sent meanwhile is newer.
      if (store.peek(sdkKey) !== undefined) return;
      if (!store.put(sdkKey, manifest)) return;
      emit({ kind: "id_lists_updated", sdkKey, lists: manifest.entries.size, source: "backup" });
    } catch (error) {
      emit({ kind: "id_lists_backup_failed", sdkKey, action: "read", detail: String(error) });
    }
  }
}
