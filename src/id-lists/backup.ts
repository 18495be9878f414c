import type { SdkKey } from "../access/sdk-key.ts";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { EmitIdListEvent } from "./events.ts";
import { type Manifest, type ManifestBackup, parseManifest } from "./manifest.ts";
import type { ManifestStore } from "./store.ts";

interface ManifestWriterOptions {
  readonly backup: ManifestBackup;
  readonly store: ManifestStore;
  readonly clock: Clock;
  readonly emit: EmitIdListEvent;
  /** Must be well below the TTL of the backup's entries, in ms. */
  readonly rewriteEveryMs: number;
}

const REMOVE_RETRY_MS = 1_000;

/** The limit of keys whose removal is retried. Above it, a removal that fails is reported and not retried. */
const MAX_REMOVALS = 10_000;

/** How long shutdown waits for writes in flight. */
const FLUSH_MS = 3_000;

interface WrittenManifest {
  readonly text: string;
  readonly at: number;
}

/**
 * Writes manifests to the backup: each new one, and each again before its entry expires. A write that fails is retried after the
 * next poll. A removal that fails is retried until the backup works; until then, nothing is written for the key. Requests
 * never wait for the backup.
 */
export class ManifestWriter implements AsyncDisposable {
  readonly #options: ManifestWriterOptions;
  readonly #written = new Map<SdkKey, WrittenManifest>();
  /** When upstream last sent the manifest that is held, in ms since the Unix epoch. */
  readonly #confirmedAt = new Map<SdkKey, number>();
  readonly #inFlight = new Set<Promise<void>>();
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

  /** Records that upstream sent the manifest just now, and writes it if it is new or its entry is old. */
  confirm(sdkKey: SdkKey, { text }: Manifest): void {
    const { clock, rewriteEveryMs } = this.#options;
    const last = this.#written.get(sdkKey);
    const at = clock.now();
    this.#confirmedAt.set(sdkKey, at);
    if (last?.text === text && at - last.at < rewriteEveryMs) return;
    // It is written after the next poll.
    if (this.#removing.has(sdkKey)) return;
    this.#written.set(sdkKey, { text, at });
    this.#track(this.#write(sdkKey, text, at));
  }

  /** Writes every manifest again, one by one: the backup may be another server that lacks them. */
  writeAgain(): void {
    this.#written.clear();
    this.#track(this.#writeAll([...this.#confirmedAt.keys()]));
  }

  async #writeAll(sdkKeys: readonly SdkKey[]): Promise<void> {
    for (const sdkKey of sdkKeys) {
      const at = this.#confirmedAt.get(sdkKey);
      const text = this.#options.store.peek(sdkKey)?.manifest.text;
      if (this.#stopping.signal.aborted || at === undefined || text === undefined) continue;
      if (this.#written.has(sdkKey) || this.#removing.has(sdkKey)) continue;
      this.#written.set(sdkKey, { text, at });
      await this.#write(sdkKey, text, at);
    }
  }

  /** Removes the key's manifest from the backup. */
  remove(sdkKey: SdkKey): void {
    if (this.#removing.has(sdkKey)) return;
    this.#track(this.#remove(sdkKey));
  }

  /** Returns whether the key's manifest still has to be removed from the backup. */
  isRemoving(sdkKey: SdkKey): boolean {
    return this.#removing.has(sdkKey);
  }

  async #write(sdkKey: SdkKey, text: string, at: number): Promise<void> {
    try {
      await this.#options.backup.writeManifest(sdkKey, text, at);
    } catch (error) {
      this.#written.delete(sdkKey);
      this.#reportFailure(sdkKey, "write", error);
    }
  }

  async #remove(sdkKey: SdkKey): Promise<void> {
    const { backup, clock } = this.#options;
    const { signal } = this.#stopping;
    const isRetried = this.#removing.size < MAX_REMOVALS;
    if (isRetried) this.#removing.add(sdkKey);
    for (let failures = 0; ; failures++) {
      // Shutdown ends the wait for the next try, which is the last one.
      const isLast = !isRetried || signal.aborted;
      try {
        await backup.removeManifest(sdkKey);
        break;
      } catch (error) {
        if (failures === 0) this.#reportFailure(sdkKey, "remove", error);
        if (isLast) break;
      }
      await clock.sleep(REMOVE_RETRY_MS, signal).catch(() => {});
    }
    if (isRetried) this.#removing.delete(sdkKey);
  }

  #reportFailure(sdkKey: SdkKey, action: "write" | "remove", error: unknown): void {
    this.#options.emit({ kind: "id_lists_backup_failed", sdkKey, action, detail: String(error) });
  }

  #track(work: Promise<void>): void {
    const done = work.finally(() => this.#inFlight.delete(done));
    this.#inFlight.add(done);
  }

  /** Waits for what is in flight. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the relay is shutting down"));
    await withTimeout(Promise.all(this.#inFlight), FLUSH_MS, this.#options.clock);
  }
}

interface ManifestRecoveryOptions {
  readonly backup: ManifestBackup;
  readonly store: ManifestStore;
  readonly emit: EmitIdListEvent;
  /** Returns whether the key's manifest is to be removed from the backup. Such a manifest is not recovered. */
  readonly isRemoving: (sdkKey: SdkKey) => boolean;
}

/** Loads manifests from the backup for keys without a held manifest. */
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
      const manifest = parseManifest(text);
      if (typeof manifest === "string") throw new Error(`the entry is not a manifest: ${manifest}`);
      // Upstream may have sent one in the meantime, which is newer.
      if (store.peek(sdkKey) !== undefined) return;
      if (!store.put(sdkKey, manifest)) return;
      emit({ kind: "id_lists_updated", sdkKey, lists: manifest.entries.size, source: "backup" });
    } catch (error) {
      emit({ kind: "id_lists_backup_failed", sdkKey, action: "read", detail: String(error) });
    }
  }
}
