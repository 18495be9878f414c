import type { SdkKey } from "../access/sdk-key.ts";
import type { ListFileResponse, ListFileSource } from "./download.ts";
import type { ManifestBackup, ManifestOutcome, ManifestSource } from "./manifest.ts";

/**
 * The manifests of offline mode: those of the backup if the relay has the files that they name, else ones without lists. With a manifest
 * whose files cannot be fetched, SDKs would give up the update of all lists.
 */
export class OfflineManifests implements ManifestSource {
  readonly #backup: Pick<ManifestBackup, "readManifest"> | undefined;

  /** `backup`: undefined if the relay serves no files. */
  constructor(backup: Pick<ManifestBackup, "readManifest"> | undefined) {
    this.#backup = backup;
  }

  async fetchManifest(sdkKey: SdkKey): Promise<ManifestOutcome> {
    try {
      return { kind: "manifest", text: (await this.#backup?.readManifest(sdkKey)) ?? "{}" };
    } catch (error) {
      return {
        kind: "failed",
        cause: "unreachable",
        detail: `the backup failed: ${(error as Error).message}`,
      };
    }
  }
}

/** Serves what is on disk: nothing is downloaded in offline mode. */
export class OfflineFiles implements ListFileSource {
  async fetchFile(): Promise<ListFileResponse> {
    return { kind: "failed", detail: "it is not on disk, and nothing is downloaded in offline mode" };
  }
}
