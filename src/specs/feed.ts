import { hash } from "node:crypto";
import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";

/** Payloads of v1 and v2 differ in structure and are never interchangeable. */
export type ApiVersion = "v1" | "v2";

export type SpecFormat = "json" | "proto";

/** The unit of polling. Content codings are not a part of it: all of them are made from one response. */
export interface Feed {
  readonly sdkKey: SdkKey;
  readonly version: ApiVersion;
  readonly format: SpecFormat;
}

/** The content codings that upstream may use, preferred first. */
export const OFFERED_CODINGS = {
  json: ["br", "zstd", "gzip"],
  proto: ["statsig-br", "br", "zstd", "gzip"],
} as const satisfies Readonly<Record<SpecFormat, readonly string[]>>;

/** Returns all feeds that an SDK key can have. */
export function listFeeds(sdkKey: SdkKey): readonly Feed[] {
  return FORMS.map((form) => ({ sdkKey, ...form }));
}

const FORMS = [
  { version: "v1", format: "json" },
  { version: "v1", format: "proto" },
  { version: "v2", format: "json" },
  { version: "v2", format: "proto" },
] as const;

/** Returns a unique id of the feed, for use inside the process only: it contains the whole SDK key. */
export function feedId(feed: Feed): string {
  return `${feed.version}/${feed.format}/${feed.sdkKey}`;
}

/** Returns a digest that identifies a feed outside the process without revealing its SDK key. */
export function feedDigest(feed: Feed, encoding: "hex" | "base64url"): string {
  return hash("sha256", feedId(feed), encoding);
}

/** Returns a text for logs and pages, with the SDK key masked. */
export function describeFeed(feed: Feed): string {
  return `${maskSdkKey(feed.sdkKey)} ${feed.version}/${feed.format}`;
}

/** Returns the feeds to preload: JSON, which every SDK can read. Protobuf is fetched when a client requests it. */
export function preloadFeeds(sdkKeys: readonly SdkKey[]): readonly Feed[] {
  return sdkKeys.flatMap((sdkKey) => [
    { sdkKey, version: "v1", format: "json" } as const,
    { sdkKey, version: "v2", format: "json" } as const,
  ]);
}
