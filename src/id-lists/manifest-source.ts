import type { SdkKey } from "../specs/sdk-key.ts";
import type { FetchFailure } from "../specs/spec-source.ts";

export type ManifestOutcome =
  /** A body; not looked into yet. */
  | { readonly kind: "manifest"; readonly text: string }
  | { readonly kind: "unauthorized"; readonly status: number }
  | FetchFailure;

/** Where manifests come from. */
export interface ManifestSource {
  /**
   * One request for the ID lists of a key. Every expected ending is a value; it never rejects but for `signal`,
   * and always ends within the source's own time limit.
   */
  fetchManifest(sdkKey: SdkKey, signal: AbortSignal): Promise<ManifestOutcome>;
}
