import type { SdkKey } from "../specs/sdk-key.ts";
import type { EmitIdListEvent } from "./events.ts";
import { readManifest } from "./manifest.ts";
import type { ManifestBackup } from "./manifest-backup.ts";
import type { ManifestStore } from "./manifest-store.ts";

export interface ManifestRecoveryOptions {
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
