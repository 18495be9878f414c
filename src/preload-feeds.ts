import type { Feed } from "./specs/feed.ts";
import type { SdkKey } from "./specs/sdk-key.ts";

/** What SDKs of either kind ask for first. Protobuf is fetched when somebody asks. */
export function preloadFeeds(sdkKeys: readonly SdkKey[]): readonly Feed[] {
  return sdkKeys.flatMap((sdkKey) => [
    { sdkKey, version: "v1", format: "json" } as const,
    { sdkKey, version: "v2", format: "json" } as const,
  ]);
}
