import { parseSdkKey, type SdkKey } from "../../../src/access/sdk-key.ts";
import type { ApiVersion, Feed, SpecFormat } from "../../../src/specs/feed.ts";
import { frameSpec } from "../../../src/specs/payload/grpc-frame.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";

/** Returns the text as an SDK key; throws if its format is invalid. */
export function sdkKeyOf(text: string): SdkKey {
  const sdkKey = parseSdkKey(text);
  if (sdkKey === undefined) throw new RangeError(`"${text}" is no SDK key`);
  return sdkKey;
}

export const feedOf = (key: string, version: ApiVersion = "v2", format: SpecFormat = "json"): Feed => ({
  sdkKey: sdkKeyOf(key),
  version,
  format,
});

/** Returns a version of a feed, for tests that do not read its body. */
export const snapshotOf = (feed: Feed, lcut: number, checksum = ""): Snapshot => ({
  feed,
  lcut,
  checksum,
  format: feed.format,
  ...frameSpec(
    new TextEncoder().encode(JSON.stringify({ time: lcut, ...(checksum !== "" && { checksum }) })),
    lcut,
  ),
  compressed: {},
  digest: `${lcut}${checksum}`,
  source: "upstream",
  receivedAt: lcut,
});
