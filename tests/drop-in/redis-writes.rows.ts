import type { DropInRow } from "../support/drop-in/row.ts";

/** What a relay writes for clients that asked for JSON of v1 and v2 and for protobuf. */
export interface WriteRow extends DropInRow {
  readonly options: "default" | "double write" | "prefix";
  /** The key, with `{20}`, `{base64}` and `{hex}` for the beginning and digests of the SDK key. */
  readonly key: string;
  /** Undefined if the key does not exist. */
  readonly field: "config" | "encoding" | "lcut" | "own fields" | "TTL" | "none";
  readonly is:
    | "v1"
    | "v2"
    | "protobuf"
    | "lcut"
    | "plain_text"
    | "statsig-br"
    | "86400"
    | "present"
    | "absent";
}

const twoSchemas = { does: "is written", subject: "Redis keys" } as const;
const V1 = "statsig|/v1/download_config_specs|plain_text|";
const V2 = "statsig|/v2/download_config_specs|plain_text|";
const PROTO = "statsig|/v2/download_config_specs|statsig-br|";

const writes = (
  options: WriteRow["options"],
  name: string,
  original: string,
  ours: DropInRow["ours"],
  key: string,
  [field, is]: readonly [WriteRow["field"], WriteRow["is"]],
): WriteRow => ({ name: `${options}: ${name}`, original, ours, options, key, field, is });

export const WRITES: readonly WriteRow[] = [
  writes("default", "config of v2", "4.x writes plain JSON", "same", `${V2}{20}`, ["config", "v2"]),
  writes("default", "config of v1", "4.x writes plain JSON", "same", `${V1}{20}`, ["config", "v1"]),
  writes("default", "lcut", "4.x writes x-since-time", "same", `${V2}{20}`, ["lcut", "lcut"]),
  writes("default", "encoding", "4.x writes plain_text", "same", `${V2}{20}`, ["encoding", "plain_text"]),
  writes("default", "TTL", "4.x sets --redis-cache-ttl-in-s", "same", `${V2}{20}`, ["TTL", "86400"]),
  writes(
    "default",
    "fields of its own",
    "none",
    { does: "key_digest, checksum", subject: "Redis keys" },
    `${V2}{20}`,
    ["own fields", "present"],
  ),
  writes("default", "3.x key of v2", "4.x only with double write", twoSchemas, `${V2}{base64}`, [
    "config",
    "v2",
  ]),
  writes("default", "3.x key of v1", "3.x writes it", "same", `${V1}{base64}`, ["config", "v1"]),
  writes("default", "1.x key", "not without double write", "same", "statsig::{hex}", ["none", "absent"]),
  writes("default", "protobuf", "4.1 and later write the bytes of upstream", "same", `${PROTO}{20}`, [
    "config",
    "protobuf",
  ]),
  writes("default", "lcut of protobuf", "x-since-time", "same", `${PROTO}{20}`, ["lcut", "lcut"]),
  writes(
    "default",
    "encoding of protobuf",
    "plain_text",
    { does: "statsig-br", subject: "protobuf in Redis" },
    `${PROTO}{20}`,
    ["encoding", "statsig-br"],
  ),
  writes("default", "protobuf under a 3.x key", "only with double write", twoSchemas, `${PROTO}{base64}`, [
    "config",
    "protobuf",
  ]),
  writes(
    "default",
    "manifest of ID lists",
    "4.x writes it under its key",
    "same",
    "statsig|/v1/get_id_lists|plain_text|{20}",
    ["own fields", "present"],
  ),
  writes(
    "default",
    "manifest under a 3.x key",
    "4.x only with double write",
    twoSchemas,
    "statsig|/v1/get_id_lists|plain_text|{base64}",
    ["own fields", "present"],
  ),
  writes(
    "default",
    "leader key",
    "the first writer takes it",
    { does: "is not taken", subject: "leader key" },
    "statsig_forward_proxy::leader",
    ["none", "absent"],
  ),
  writes("double write", "4.x key", "4.x writes it", "same", `${V2}{20}`, ["config", "v2"]),
  writes("double write", "3.x key", "4.x adds it", "same", `${V2}{base64}`, ["config", "v2"]),
  writes(
    "double write",
    "1.x key",
    "3.x adds it, with v1 or v2 specs",
    { does: "v1 only", subject: "1.x keys" },
    "statsig::{hex}",
    ["config", "v1"],
  ),
  writes("prefix", "4.x key", "begins with the prefix and a colon", "same", `np:${V2}{20}`, ["config", "v2"]),
  writes("prefix", "key of double write", "begins with the prefix", "same", `np:${V2}{base64}`, [
    "config",
    "v2",
  ]),
  writes("prefix", "4.x key without it", "is not written", "same", `${V2}{20}`, ["none", "absent"]),
];

/** What happens on a Redis that original relays use as well; the test has a check of this name. */
export const TOGETHER: readonly DropInRow[] = [
  { name: "original reads", original: "4.x reads the 4.x key", ours: "same" },
  { name: "3.x reads", original: "reads the 3.x key", ours: "same" },
  { name: "1.x reads", original: "reads the 1.x key, with double write", ours: "same" },
  {
    name: "original leads",
    original: "only the leader writes a newer version",
    ours: { does: "every relay writes it", subject: "writes to Redis" },
  },
  { name: "original behind", original: "an original with an older version does not write it", ours: "same" },
  {
    name: "original ahead",
    original: "a relay without upstream serves what another one wrote",
    ours: "same",
  },
  { name: "original alone", original: "what only an original has is written while it leads", ours: "same" },
  {
    name: "leader cut off",
    original: "nobody writes until its leader key expires",
    ours: { does: "other relays write", subject: "leader key" },
  },
  {
    name: "leader key without TTL",
    original: "gets --redis-leader-key-ttl from another relay",
    ours: "same",
  },
  {
    name: "unchanged polls",
    original: "do not extend the TTL before 4.5",
    ours: { does: "it is extended", subject: "expiry in Redis" },
  },
  {
    name: "protobuf alone",
    original: "4.3 and 4.4 write no JSON when a client asks for protobuf",
    ours: { does: "they do, unless --json-with-protobuf=false", subject: "JSON beside protobuf" },
  },
  {
    name: "TTL of a 1.x key",
    original: "1.x sets none",
    ours: { does: "--redis-cache-ttl-in-s", subject: "1.x keys" },
  },
  { name: "JSON beside protobuf", original: "4.1 writes JSON when a client asks for protobuf", ours: "same" },
  {
    name: "rejected key",
    original: "its entries stay without --clear-datastore-on-unauthorized",
    ours: "same",
  },
  { name: "rejected key, cleared", original: "its 4.x and legacy entries are deleted", ours: "same" },
];
