import type { SdkKey } from "../../access/sdk-key.ts";
import type { SharedBytes } from "../../platform/shared-bytes.ts";
import type { Feed } from "../../specs/feed.ts";

/** The feature gate that turns Google Cloud Profiler on and off. The original proxy gave it this name. */
export const GATE = "enable_gcp_profiler_for_sfp";

/** Returns the feed that the SDK evaluates: statsig-node reads the JSON of v1, and no other. */
export function toGateFeed(sdkKey: SdkKey): Feed {
  return { sdkKey, version: "v1", format: "json" };
}

/**
 * Returns whether a payload names the gate; most do not, and are not parsed. Searching 5 MB takes 0.3 ms. JSON could also write
 * the letters of the name as escapes, which no serializer does.
 */
export function namesGate({ buffer, byteOffset, length }: SharedBytes): boolean {
  return Buffer.from(buffer, byteOffset, length).includes(GATE);
}
