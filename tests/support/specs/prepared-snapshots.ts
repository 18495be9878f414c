import { djb2 } from "../../../src/access/sdk-key.ts";
import { type Feed, feedId } from "../../../src/specs/feed.ts";
import type { RawPayload } from "../../../src/specs/payload/payload.ts";
import { prepare } from "../../../src/specs/payload/prepare.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import { padTo } from "../common/padding.ts";
import { specV1, specV2 } from "../upstream/payloads.ts";
import { specProto } from "../upstream/proto-payload.ts";

const MAX_BYTES = 64 * 1024 * 1024;

export interface SnapshotOptions {
  /** Makes bodies of the same lcut differ. */
  readonly color?: string;
  /** The length of the JSON. */
  readonly bytes?: number;
  /** The format of upstream's response, if it is not the feed's. */
  readonly format?: "json";
  /** The `x-since-time` of the response, if it is not the body's time. */
  readonly headerLcut?: number;
}

/** Returns a version of a feed as the relay holds it: checked, and in every coding. */
export async function preparedSnapshot(
  feed: Feed,
  lcut: number,
  options: SnapshotOptions = {},
): Promise<Snapshot> {
  const { color = `color ${lcut}`, format = feed.format, headerLcut } = options;
  const spec = { lcut, color, sdkKey: feed.sdkKey };
  const body = format === "proto" ? specProto(spec) : jsonOf(feed, spec, options.bytes);
  const payload = await preparedPayload({
    body: new Uint8Array(body),
    contentEncoding: format === "proto" ? "statsig-br" : "",
    format,
    headerLcut,
    sdkKeyHash: djb2(feed.sdkKey),
  });
  return { ...payload, feed, source: "upstream", receivedAt: lcut };
}

function jsonOf(feed: Feed, spec: Parameters<typeof specV1>[0], bytes: number | undefined): Uint8Array {
  const json = feed.version === "v1" ? specV1(spec) : specV2(spec);
  return Buffer.from(JSON.stringify(bytes === undefined ? json : padTo(json, bytes)));
}

/** Prepares a payload; throws if it is refused. */
export async function preparedPayload(raw: RawPayload) {
  const preparation = await prepare({ raw, maxBytes: MAX_BYTES });
  if (preparation.kind !== "prepared") throw new Error(`not taken: ${JSON.stringify(preparation)}`);
  return preparation.payload;
}

/** Returns what snapshots of the same version have in common, whatever their source; short enough to be printed. */
export const essence = (snapshot: Omit<Snapshot, "source" | "receivedAt">) => ({
  feed: feedId(snapshot.feed),
  lcut: snapshot.lcut,
  format: snapshot.format,
  bytes: snapshot.bytes.length,
  digest: snapshot.digest,
});
