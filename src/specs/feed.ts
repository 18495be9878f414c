import { hash } from "node:crypto";
import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";

/** v1 and v2 payloads differ in shape and are never interchangeable. */
export type ApiVersion = "v1" | "v2";

export type SpecFormat = "json" | "proto";

/** What is polled as one. Content codings are no part of it: all of them are made from one fetch. */
export interface Feed {
  readonly sdkKey: SdkKey;
  readonly version: ApiVersion;
  readonly format: SpecFormat;
}

/** What there can be of a key. */
export function listFeeds(sdkKey: SdkKey): readonly Feed[] {
  return FORMS.map((form) => ({ sdkKey, ...form }));
}

const FORMS = [
  { version: "v1", format: "json" },
  { version: "v1", format: "proto" },
  { version: "v2", format: "json" },
  { version: "v2", format: "proto" },
] as const;

/** Tells feeds apart inside the process. Holds the whole key: not for people. */
export function feedId(feed: Feed): string {
  return `${feed.version}/${feed.format}/${feed.sdkKey}`;
}

/** Returns a digest that identifies a feed outside the process without revealing its SDK key. */
export function feedDigest(feed: Feed, encoding: "hex" | "base64url"): string {
  return hash("sha256", feedId(feed), encoding);
}

/** How a feed is shown to people. */
export function describeFeed(feed: Feed): string {
  return `${maskSdkKey(feed.sdkKey)} ${feed.version}/${feed.format}`;
}

/** What SDKs of either kind ask for first. Protobuf is fetched when somebody asks. */
export function preloadFeeds(sdkKeys: readonly SdkKey[]): readonly Feed[] {
  return sdkKeys.flatMap((sdkKey) => [
    { sdkKey, version: "v1", format: "json" } as const,
    { sdkKey, version: "v2", format: "json" } as const,
  ]);
}
