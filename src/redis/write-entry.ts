import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { djb2 } from "../access/sdk-key.ts";
import type { BackupWrite } from "../specs/backup.ts";
import type { Feed } from "../specs/feed.ts";
import type { RedisConnection } from "./connection.ts";
import {
  changeEntry,
  compareVersion,
  type EntryState,
  formatChecksum,
  isFromThisProject,
  isOfAnotherKey,
  namesWholeKey,
  readFields,
  readState,
} from "./entry.ts";
import { RedisFailure } from "./errors.ts";
import { type NamedKey, sdkKeyDigest, toEncoding } from "./keys.ts";

interface EntryToWrite {
  readonly feed: Feed;
  readonly format: Feed["format"];
  readonly lcut: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The digest of a snapshot. */
  readonly digest: string;
}

/** How often a change is tried. Each failed attempt means that another writer succeeded. */
const MAX_ATTEMPTS = 20;

const decompress = promisify(brotliDecompress);

/** Writes a version to one key. If Redis has the same or a newer version, the config is not sent. */
export async function writeEntry(
  redis: RedisConnection,
  key: NamedKey,
  entry: EntryToWrite,
  { instead, ttlMs }: { readonly instead: number | undefined; readonly ttlMs: number },
): Promise<BackupWrite> {
  const { feed, lcut, bytes, digest } = entry;
  const fields = [
    ...["encoding", toEncoding(entry), "lcut", String(lcut)],
    ...["key_digest", sdkKeyDigest(feed), "checksum", formatChecksum(lcut, bytes.length, digest)],
    ...["config", Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)],
  ];
  const ttlS = toSeconds(ttlMs);
  return retryChanged(async () => {
    const seen = await readState(redis, key.name);
    const comparison = compareVersion(seen, entry, instead);
    if (comparison.kind === "not_newer") return comparison;
    const outcome = await changeEntry(redis, key.name, seen, { kind: "write", lcut, fields, ttlS });
    return outcome === "done" ? { kind: "written" } : undefined;
  });
}

/** Extends the TTL of an entry. Resolves with false if it must be written again: it is missing, older or corrupt. */
export async function touchEntry(
  redis: RedisConnection,
  key: NamedKey,
  entry: EntryToWrite,
  ttlMs: number,
): Promise<boolean> {
  const comparison = compareVersion(await readState(redis, key.name), entry);
  switch (comparison.kind) {
    case "replaceable":
      return false;
    case "of_another_key":
      // Two SDK keys that share a v4 name must not overwrite each other with every touch.
      return !namesWholeKey(key);
    case "not_newer":
      return (await redis.send("EXPIRE", [key.name, String(toSeconds(ttlMs))])) === 1;
  }
}

/** Deletes the entry if it belongs to this SDK key, which under a v4 name has to be checked first. */
export async function removeEntry(
  redis: RedisConnection,
  key: NamedKey,
  feed: Feed,
  maxBytes: number,
): Promise<void> {
  if (namesWholeKey(key)) {
    await redis.send("DEL", [key.name]);
    return;
  }
  await retryChanged(async () => {
    const seen = await readState(redis, key.name);
    if (!(await isOwn(redis, key, feed, seen, maxBytes))) return "left";
    return (await changeEntry(redis, key.name, seen, { kind: "delete" })) === "done" ? "deleted" : undefined;
  });
}

async function isOwn(
  redis: RedisConnection,
  key: NamedKey,
  feed: Feed,
  seen: EntryState,
  maxBytes: number,
): Promise<boolean> {
  if (seen.kind === "other" || isOfAnotherKey(seen, feed)) return false;
  if (isFromThisProject(seen)) return true;
  if (seen.configBytes === 0 || (seen.configBytes ?? 0) > maxBytes) return false;
  const [encoding, config] = await readFields(redis, key.name, ["encoding", "config"], redis.bulk);
  return config !== undefined && namesKey(config, encoding?.toString("latin1"), feed, maxBytes);
}

const NAMED_KEY = Buffer.from('"hashed_sdk_key_used"');

/** Whether the config names this SDK key and no other one. Searches instead of parsing, because configs are large. */
async function namesKey(
  config: Buffer,
  encoding: string | undefined,
  feed: Feed,
  maxBytes: number,
): Promise<boolean> {
  let text = config;
  if (encoding === "statsig-br") {
    try {
      text = await decompress(config, { maxOutputLength: maxBytes });
    } catch {
      return false;
    }
  }
  const named = new RegExp(`^\\s*:\\s*"?${djb2(feed.sdkKey)}"?\\s*[,}]`);
  let found = 0;
  for (let at = text.indexOf(NAMED_KEY); at >= 0; at = text.indexOf(NAMED_KEY, at + 1)) {
    const after = text.subarray(at + NAMED_KEY.length, at + NAMED_KEY.length + 64).toString("latin1");
    if (!named.test(after)) return false;
    found++;
  }
  return found > 0;
}

/** Repeats an attempt while it resolves with undefined because the entry has changed. */
async function retryChanged<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (let left = MAX_ATTEMPTS; left > 0; left--) {
    const outcome = await attempt();
    if (outcome !== undefined) return outcome;
  }
  throw new RedisFailure("refused", "other relays keep changing the entry");
}

/** Redis treats a TTL of 0 as expired. */
const toSeconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1_000));
