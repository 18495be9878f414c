import { specV1, specV2 } from "./payloads.ts";
import { specProto } from "./proto-payload.ts";
import type { Upstream } from "./upstream.ts";

/** What upstream has for a key, in every form, and of which version. */
export interface PublishedKey {
  readonly sdkKey: string;
  readonly lcut: number;
  readonly v1: string;
  readonly v2: string;
  readonly proto: Buffer;
}

export const FIRST_LCUT = 1_700_000_000_000;

/** One version of a key in all its forms; the second version is a minute newer than the first, and so on. */
export function versionOf(sdkKey: string, number = 0): PublishedKey {
  const lcut = FIRST_LCUT + number * 60_000;
  const options = { sdkKey, lcut, color: `color ${number}` };
  const [v1, v2] = [JSON.stringify(specV1(options)), JSON.stringify(specV2(options))];
  return { sdkKey, lcut, v1, v2, proto: Buffer.from(specProto(options)) };
}

/** Gives upstream a version of a key: v1, v2, and protobuf to those who ask for it. */
export function publishKey(upstream: Upstream, sdkKey: string, number = 0): PublishedKey {
  const published = versionOf(sdkKey, number);
  const { lcut, v1, v2, proto } = published;
  upstream.publish(sdkKey, "v1", v1, lcut);
  upstream.publish(sdkKey, "v2", v2, lcut);
  upstream.publishProto(sdkKey, proto, lcut);
  return published;
}

/** The scope of a fault: requests for this key alone. */
export const forKey = (sdkKey: string) => ({
  when: ({ path }: { readonly path: string }): boolean => path.endsWith(`/${sdkKey}.json`),
});
