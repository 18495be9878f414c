import { type Clock, within } from "../clock.ts";
import type { SdkKey } from "../specs/sdk-key.ts";
import type { EmitIdListEvent } from "./events.ts";
import type { Manifest } from "./manifest.ts";
import type { ManifestBackup } from "./manifest-backup.ts";
import type { ManifestStore } from "./manifest-store.ts";

export interface ManifestWriterOptions {
  readonly backup: ManifestBackup;
  readonly store: ManifestStore;
  readonly clock: Clock;
  readonly emit: EmitIdListEvent;
  /** Well below the time after which the backup forgets, ms. */
  readonly rewriteEveryMs: number;
}

/** How long shutdown waits for what is not written yet. */
const FLUSH_MS = 3_000;

interface Written {
  readonly text: string;
  readonly at: number;
}

/**
 * Brings manifests into the backup: each that is new, and each again before the backup
 * forgets it. What could not be written is written after the next poll. No request waits for it.
 */
export class ManifestWriter implements AsyncDisposable {
  readonly #options: ManifestWriterOptions;
  readonly #written = new Map<SdkKey, Written>();
  readonly #underway = new Set<Promise<void>>();

  constructor(options: ManifestWriterOptions) {
    this.#options = options;
    options.store.listen({
      put: () => {},
      removed: (sdkKey) => this.#written.delete(sdkKey),
    });
  }

  /** Upstream sent it just now. */
  confirmed(sdkKey: SdkKey, manifest: Manifest): void {
    const { backup, clock, rewriteEveryMs } = this.#options;
    const { text } = manifest;
    const before = this.#written.get(sdkKey);
    const at = clock.now();
    if (before?.text === text && at - before.at < rewriteEveryMs) return;
    this.#written.set(sdkKey, { text, at });
    this.#do(sdkKey, "write", backup.writeManifest(sdkKey, text, at));
  }

  remove(sdkKey: SdkKey): void {
    this.#do(sdkKey, "remove", this.#options.backup.removeManifest(sdkKey));
  }

  #do(sdkKey: SdkKey, action: "write" | "remove", work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => {
        if (action === "write") this.#written.delete(sdkKey);
        this.#options.emit({ kind: "id_lists_backup_failed", sdkKey, action, detail: String(error) });
      })
      .finally(() => this.#underway.delete(done));
    this.#underway.add(done);
  }

  /** Finishes what is underway. */
  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.#options.clock, FLUSH_MS, Promise.all(this.#underway));
  }
}
