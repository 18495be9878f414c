import { padTo } from "../common/padding.ts";
import { specV1, specV2 } from "./payloads.ts";
import { specProto } from "./proto-payload.ts";
import type { Upstream } from "./upstream.ts";

/** The payloads of a key in every version and format, with their lcut. */
export interface PublishedKey {
  readonly sdkKey: string;
  readonly lcut: number;
  readonly v1: string;
  readonly v2: string;
  readonly proto: Buffer;
}

export const FIRST_LCUT = 1_700_000_000_000;

/** Returns a version of a key in all formats; each version is a minute newer than the one before. */
export function versionOf(sdkKey: string, number = 0): PublishedKey {
  const lcut = FIRST_LCUT + number * 60_000;
  const options = { sdkKey, lcut, color: `color ${number}` };
  const [v1, v2] = [JSON.stringify(specV1(options)), JSON.stringify(specV2(options))];
  return { sdkKey, lcut, v1, v2, proto: Buffer.from(specProto(options)) };
}

/** Publishes a version of a key at upstream: v1, v2, and protobuf for requests that support it. */
export function publishKey(upstream: Upstream, sdkKey: string, number = 0): PublishedKey {
  const published = versionOf(sdkKey, number);
  const { lcut, v1, v2, proto } = published;
  upstream.publish(sdkKey, "v1", v1, lcut);
  upstream.publish(sdkKey, "v2", v2, lcut);
  upstream.publishProto(sdkKey, proto, lcut);
  return published;
}

/** Publishes a config spec of this size, which others of the same size share most of. Returns its path and what it holds. */
export function publishSized(upstream: Upstream, sdkKey: string, bytes: number) {
  const body = JSON.stringify(padTo(specV2({ sdkKey, lcut: FIRST_LCUT }), bytes));
  upstream.publish(sdkKey, "v2", body, FIRST_LCUT);
  return { path: `/v2/download_config_specs/${sdkKey}.json`, body };
}

/** Limits a fault to requests for this key. */
export const forKey = (sdkKey: string) => ({
  when: ({ path }: { readonly path: string }): boolean => path.endsWith(`/${sdkKey}.json`),
});
