import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import type { ReadRow, StoredEntry } from "../../drop-in/redis.rows.ts";
import { UNPREFIXED } from "../redis/unprefixed-keys.ts";
import { feedOf } from "../specs/snapshots.ts";
import { specV1, specV2 } from "../upstream/payloads.ts";
import { specProto } from "../upstream/proto-payload.ts";
import { type PublishedKey, versionOf } from "../upstream/published-key.ts";

const YEAR_MS = 365 * 24 * 3_600_000;

/** Puts what the row says into Redis, as an original relay writes it. */
export async function store(redis: Redis, sdkKey: string, stored: ReadRow["stored"]): Promise<void> {
  const hex = createHash("sha256").update(sdkKey).digest("hex");
  const { v1, v2, lcut } = versionOf(sdkKey, 1);
  const fields = (config: string) => ({ encoding: "plain_text", lcut: String(lcut), config });
  switch (stored) {
    case "a text":
      await redis.set(nameOf(sdkKey, { schema: "v4" }), v2);
      return;
    case "an early 2.x key":
      await redis.hset(`statsig|/v1/download_config_specs|true|${hex}`, fields(v1));
      return;
    case "a manifest of 4.x":
      await redis.hset(UNPREFIXED.manifest(feedOf(sdkKey), "v4").name, {
        ...fields('{"list":{}}'),
        lcut: "0",
      });
      return;
    default:
      for (const entry of stored) await storeEntry(redis, sdkKey, entry);
  }
}

async function storeEntry(redis: Redis, sdkKey: string, entry: StoredEntry): Promise<void> {
  const version = versionOf(sdkKey, entry.version ?? 1);
  const lcuts = { none: undefined, "no number": "abc", "next year": String(Date.now() + YEAR_MS) };
  const lcut = entry.lcut === undefined ? String(version.lcut) : lcuts[entry.lcut];
  await redis.hset(nameOf(sdkKey, entry), {
    ...(entry.schema !== "v1" && { encoding: "plain_text" }),
    ...(lcut !== undefined && { lcut }),
    config: configOf(version, entry),
  });
}

function nameOf(sdkKey: string, { schema, path = "v2", format = "json" }: StoredEntry): string {
  return UNPREFIXED.entries(feedOf(sdkKey, path, format), [schema])[0].name;
}

function configOf({ sdkKey, lcut, v1, v2 }: PublishedKey, entry: StoredEntry): string | Buffer {
  if (entry.format === "proto") return Buffer.from(specProto({ lcut, sdkKey }));
  const json = entry.path === "v1" ? v1 : v2;
  const spec = entry.path === "v1" ? specV1 : specV2;
  switch (entry.config) {
    case "unnamed":
      return JSON.stringify(spec({ lcut }));
    case "truncated":
      return json.slice(0, -20);
    case "empty":
      return "";
    case "another key's":
      return JSON.stringify(spec({ lcut, sdkKey: `${sdkKey.slice(0, 20)}-of-another-customer` }));
    default:
      return json;
  }
}
