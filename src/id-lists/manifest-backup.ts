import type { SdkKey } from "../specs/sdk-key.ts";

/**
 * Keeps the newest manifest of each key outside this process. Every method rejects where the backup does not
 * work just now; none waits for ever.
 */
export interface ManifestBackup {
  /** The text that was kept last; not looked into. Undefined where nothing is there. */
  readManifest(sdkKey: SdkKey): Promise<string | undefined>;

  /** `fetchedAt` (ms since the Unix epoch) is when upstream sent it: nothing older takes the place of a newer one. */
  writeManifest(sdkKey: SdkKey, text: string, fetchedAt: number): Promise<void>;

  removeManifest(sdkKey: SdkKey): Promise<void>;
}
