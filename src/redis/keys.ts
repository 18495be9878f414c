import { hash } from "node:crypto";
import { type Feed, feedDigest } from "../specs/feed.ts";

/** Naming schemes of keys, by the version of the original relay that introduced them (docs/protocol.md, Redis keys). */
export const REDIS_KEY_SCHEMAS = ["v1", "v3", "v4"] as const;
export type RedisKeySchema = (typeof REDIS_KEY_SCHEMAS)[number];

export const LEADER_KEY = "statsig_forward_proxy::leader";
export const VERSIONS_CHANNEL = "statsig_forward_proxy::versions";

/** The encoding of the field `config`, which is a part of the key. */
type RedisEncoding = "plain_text" | "statsig-br";

const V4_KEY_CHARS = 20;

/** A Redis key and the schema that it is named by. */
export interface NamedKey {
  readonly schema: RedisKeySchema;
  readonly name: string;
}

/**
 * Returns the keys of a feed in the order of `schemas`. A v1 name has no path and no encoding, so it exists for the v1 JSON feed
 * only. A feed without a name in any of `schemas` gets its v3 name.
 */
export function backupKeys(feed: Feed, schemas: readonly RedisKeySchema[]): [NamedKey, ...NamedKey[]] {
  const keys = schemas.flatMap((schema) => toKey(feed, schema) ?? []);
  const [first, ...others] = keys;
  return first === undefined ? [{ schema: "v3", name: pathKey(feed, "v3") }] : [first, ...others];
}

function toKey(feed: Feed, schema: RedisKeySchema): NamedKey | undefined {
  if (schema !== "v1") return { schema, name: pathKey(feed, schema) };
  if (feed.version !== "v1" || feed.format !== "json") return undefined;
  return { schema, name: `statsig::${hash("sha256", feed.sdkKey, "hex")}` };
}

function pathKey(feed: Feed, schema: "v3" | "v4"): string {
  const owner = schema === "v3" ? sdkKeyDigest(feed) : feed.sdkKey.slice(0, V4_KEY_CHARS);
  return `statsig|/${feed.version}/download_config_specs|${toEncoding(feed)}|${owner}`;
}

export function toEncoding({ format }: Pick<Feed, "format">): RedisEncoding {
  return format === "proto" ? "statsig-br" : "plain_text";
}

/** Returns a digest of the whole SDK key. It is stored with a config to identify its owner. */
export function sdkKeyDigest(feed: Feed): string {
  return hash("sha256", feed.sdkKey, "base64");
}

/** Returns the id of a feed in keys and messages that other relays see. It does not reveal the SDK key. */
export function redisFeedId(feed: Feed): string {
  return feedDigest(feed, "base64url");
}

/** The key of the fleet's last confirmation of a feed. In the same slot of a Cluster as {@link claimKey}. */
export function confirmedKey(feedId: string): string {
  return `statsig_forward_proxy::confirmed::{${feedId}}`;
}

/** The key of the note that a relay removed a feed because upstream rejects its SDK key. */
export function removalKey(feed: Feed): string {
  return `statsig_forward_proxy::removed::${redisFeedId(feed)}`;
}

/** The key of the claim of the relay that fetches a feed from upstream for the fleet. */
export function claimKey(feedId: string): string {
  return `statsig_forward_proxy::claim::{${feedId}}`;
}
