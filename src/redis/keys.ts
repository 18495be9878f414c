import { createHash } from "node:crypto";
import { type Feed, feedId } from "../specs/feed.ts";

/** How data keys are named, by the version of the original that brought it (WIRE 6). */
export const REDIS_KEY_SCHEMAS = ["v1", "v3", "v4"] as const;
export type RedisKeySchema = (typeof REDIS_KEY_SCHEMAS)[number];

export const LEADER_KEY = "statsig_forward_proxy::leader";
export const VERSIONS_CHANNEL = "statsig_forward_proxy::versions";

/** How the value of `config` is coded, and so a part of the key. */
type RedisEncoding = "plain_text" | "statsig-br";

const V4_KEY_CHARS = 20;

/** A key of Redis, and the schema that it is named by. */
export interface NamedKey {
  readonly schema: RedisKeySchema;
  readonly name: string;
}

/**
 * Where a feed is kept, in the order of `schemas`. A v1 name has no path and no encoding, so it can only mean
 * v1 json; a feed that none of `schemas` can name is kept under its v3 name.
 */
export function backupKeys(feed: Feed, schemas: readonly RedisKeySchema[]): [NamedKey, ...NamedKey[]] {
  const keys = schemas.flatMap((schema) => keyOf(feed, schema) ?? []);
  const [first, ...others] = keys;
  return first === undefined ? [{ schema: "v3", name: pathKey(feed, "v3") }] : [first, ...others];
}

function keyOf(feed: Feed, schema: RedisKeySchema): NamedKey | undefined {
  if (schema !== "v1") return { schema, name: pathKey(feed, schema) };
  if (feed.version !== "v1" || feed.format !== "json") return undefined;
  return { schema, name: `statsig::${createHash("sha256").update(feed.sdkKey).digest("hex")}` };
}

function pathKey(feed: Feed, schema: "v3" | "v4"): string {
  const owner = schema === "v3" ? sdkKeyDigest(feed) : feed.sdkKey.slice(0, V4_KEY_CHARS);
  return `statsig|/${feed.version}/download_config_specs|${toEncoding(feed)}|${owner}`;
}

export function toEncoding({ format }: Pick<Feed, "format">): RedisEncoding {
  return format === "proto" ? "statsig-br" : "plain_text";
}

/** Of the whole SDK key: kept beside a config, it tells whose it is. */
export function sdkKeyDigest(feed: Feed): string {
  return createHash("sha256").update(feed.sdkKey).digest("base64");
}

/** Names a feed where other relays see it, without its SDK key. */
export function redisFeedId(feed: Feed): string {
  return createHash("sha256").update(feedId(feed)).digest("base64url");
}

/** What upstream last said of a feed. In one slot of a Cluster with {@link claimKey}. */
export function confirmedKey(digest: string): string {
  return `statsig_forward_proxy::confirmed::{${digest}}`;
}

/** Another relay removed what was kept of a feed, since upstream refuses its SDK key. */
export function removalKey(feed: Feed): string {
  return `statsig_forward_proxy::removed::${redisFeedId(feed)}`;
}

/** Which relay of a fleet asks upstream for a feed. */
export function claimKey(digest: string): string {
  return `statsig_forward_proxy::claim::{${digest}}`;
}
