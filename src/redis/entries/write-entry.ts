import type { BackupWrite, Overwritable } from "../../specs/backup.ts";
import type { Feed } from "../../specs/feed.ts";
import { type RedisConnection, RedisScript } from "../connection.ts";
import { RedisFailure } from "../errors.ts";
import { type NamedKey, sdkKeyDigest, toEncoding } from "../keys.ts";
import { ENTRY_SCRIPT } from "../permissions.ts";
import {
  compareVersion,
  type EntryState,
  fingerprint,
  formatChecksum,
  isFromThisProject,
  isOfAnotherKey,
  namesWholeKey,
  readFields,
  readLcut,
  readState,
} from "./entry.ts";
import { detectFormat, findOwner } from "./owner.ts";

interface EntryToWrite {
  readonly feed: Feed;
  readonly format: Feed["format"];
  readonly lcut: number;
  readonly bytes: Uint8Array;
  /** The digest of a snapshot. */
  readonly digest: string;
}

interface EntryToRemove {
  readonly feed: Feed;
  /** A longer config is not read, and its entry not removed. */
  readonly maxBytes: number;
  /** Returns whether the operator listed this SDK key, and no other one with the same v4 name. */
  readonly isSoleKey: () => boolean;
}

/** How often a change is tried. Each failed attempt means that another writer succeeded. */
const MAX_ATTEMPTS = 20;

interface WriteOptions {
  /** What is overwritten although it is not older. */
  readonly instead?: Overwritable | undefined;
  readonly ttlMs: number;
  /** Left out of an entry that replaces another one if Redis is out of memory. A new entry is rejected then. */
  readonly history?: Uint8Array | undefined;
}

/** Writes a version to one key. If Redis has the same or a newer version, the config is not sent. */
export async function writeEntry(
  redis: RedisConnection,
  key: NamedKey,
  entry: EntryToWrite,
  { instead, ttlMs, history }: WriteOptions,
): Promise<BackupWrite> {
  const { feed, lcut, bytes, digest } = entry;
  const fields = [
    ...["encoding", toEncoding(entry), "lcut", String(lcut)],
    ...["key_digest", sdkKeyDigest(feed), "checksum", formatChecksum(lcut, bytes.length, digest)],
    ...["config", toBuffer(bytes)],
    ...(history === undefined ? [] : ["history", toBuffer(history)]),
  ];
  const ttlS = toSeconds(ttlMs);
  return retryChanged(async () => {
    const seen = await readState(redis, key.name);
    const comparison = compareVersion(seen, entry, instead);
    if (comparison.kind === "not_newer") return comparison;
    const outcome = await changeEntry(redis, key.name, seen, { kind: "write", lcut, fields, ttlS });
    if (outcome === "changed") return undefined;
    return { kind: "written", ...(comparison.kind === "other_content" && { replacedContent: true }) };
  });
}

/** Returns the same bytes, not a copy. */
const toBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

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
    case "other_content":
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
  entry: EntryToRemove,
): Promise<void> {
  if (namesWholeKey(key)) {
    await redis.send("DEL", [key.name]);
    return;
  }
  await retryChanged(async () => {
    const seen = await readState(redis, key.name);
    if (!(await isOwn(redis, key, seen, entry))) return "left";
    return (await changeEntry(redis, key.name, seen, { kind: "delete" })) === "done" ? "deleted" : undefined;
  });
}

/** Under a v4 name, an entry without a known owner is the SDK key's own if the operator listed no other key of that name. */
async function isOwn(
  redis: RedisConnection,
  key: NamedKey,
  seen: EntryState,
  { feed, maxBytes, isSoleKey }: EntryToRemove,
): Promise<boolean> {
  if (seen.kind === "other" || isOfAnotherKey(seen, feed)) return false;
  if (isFromThisProject(seen)) return true;
  if (seen.configBytes === 0 || (seen.configBytes ?? 0) > maxBytes) return false;
  const [config] = await readFields(redis, key.name, ["config"], redis.bulk);
  if (config === undefined) return false;
  const owner = await findOwner(config, detectFormat(config, feed), feed, maxBytes);
  return owner === "this" || (owner === "unknown" && isSoleKey());
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

type EntryChange =
  | { readonly kind: "delete" }
  | {
      readonly kind: "write";
      readonly lcut: number;
      /** Names and values of all fields, alternating; `history` is the last if there is one. */
      readonly fields: readonly (string | Buffer)[];
      readonly ttlS: number;
    };

type ChangeOutcome =
  | "done"
  /** The entry had changed since it was read. It was left as it is. */
  | "changed";

/**
 * ARGV: the fingerprint of the state that was read; for a write also the lcut, the TTL in seconds, and the fields, ending with the
 * history if there is one. The old entry is deleted first: it may have fields that ours lacks, and Redis then accepts the write even
 * when it is out of memory, because the new entry needs about as much memory as the old one frees. A history may need more, so it
 * is left out if Redis is out of memory, which only a write before the deletion shows. Numbers below 2^53 are exact in Lua.
 */
const change = new RedisScript(`
local key, expected, lcut = KEYS[1], ARGV[1], ARGV[2]
local function part(value)
  return value and ('+' .. #value .. ':' .. string.sub(value, 1, 100)) or '-'
end
local kept, seen, keptLcut = redis.pcall('HMGET', key, 'lcut', 'key_digest', 'checksum'), 'other', nil
if not kept.err then
  local bytes = redis.call('HSTRLEN', key, 'config')
  seen = part(kept[1]) .. '|' .. part(kept[2]) .. '|' .. part(kept[3]) .. '|' .. bytes
  keptLcut = kept[1] and #kept[1] <= 16 and string.match(kept[1], '^%d+$') and tonumber(kept[1])
elseif not string.find(kept.err, 'WRONGTYPE', 1, true) then
  return redis.error_reply(kept.err)
end
local isOlder = lcut and keptLcut and keptLcut < tonumber(lcut)
if seen ~= expected and not isOlder then return 'changed' end
local last = #ARGV
if redis.call('TTL', key) ~= -2 then
  if lcut and ARGV[last - 1] == 'history' then
    local probed = redis.pcall('HSET', key, 'history', '')
    if type(probed) == 'table' and string.find(probed.err, 'OOM', 1, true) then last = last - 2 end
  end
  redis.call('DEL', key)
end
if lcut then
  redis.call('HSET', key, unpack(ARGV, 4, last))
  redis.call('EXPIRE', key, ARGV[3])
end
return 'done'
`);

/** The commands of the transaction. The original relay uses all of them too, so its Redis user may run them. */
const TRANSACTION_COMMANDS = ["WATCH", "MULTI", "EXEC", "DEL", "HSET", "EXPIRE"] as const;

/**
 * Changes an entry atomically if it still is as it was read, or for a write, if it is an older version. Uses a script, or WATCH
 * and MULTI if the Redis user may not run scripts or their commands.
 */
async function changeEntry(
  redis: RedisConnection,
  key: string,
  seen: EntryState,
  wanted: EntryChange,
): Promise<ChangeOutcome> {
  const { permissions } = redis;
  const isKnownWhole = seen.kind === "other" || seen.configBytes !== undefined;
  if (isKnownWhole && permissions.mayTry("EVAL") && permissions.mayTry(ENTRY_SCRIPT)) {
    try {
      return await runScript(redis, key, seen, wanted);
    } catch (error) {
      const isDenied = error instanceof RedisFailure && /^(?:command|script)$/.test(error.denied ?? "");
      if (!isDenied) throw error;
    }
  }
  return runTransaction(redis, key, seen, wanted);
}

async function runScript(
  redis: RedisConnection,
  key: string,
  seen: EntryState,
  wanted: EntryChange,
): Promise<ChangeOutcome> {
  const write = wanted.kind === "write" ? [String(wanted.lcut), String(wanted.ttlS), ...wanted.fields] : [];
  // The texts may contain any byte.
  const expected = Buffer.from(fingerprint(seen), "latin1");
  const reply = await change.run(redis, key, [expected, ...write], redis.bulk);
  if (reply === "done" || reply === "changed") return reply;
  throw new RedisFailure("garbage", "the write was not confirmed");
}

async function runTransaction(
  redis: RedisConnection,
  key: string,
  seen: EntryState,
  wanted: EntryChange,
): Promise<ChangeOutcome> {
  redis.permissions.check(...TRANSACTION_COMMANDS);
  return redis.bulk.exclusively(async ({ send, sendForBytes }) => {
    await send("WATCH", [key]);
    const now = await readState(redis, key, { send, sendForBytes });
    const isAsSeen = fingerprint(now) === fingerprint(seen) || isOlder(now, wanted);
    await send("MULTI", []);
    if (isAsSeen) {
      await send("DEL", [key]);
      if (wanted.kind === "write") {
        await send("HSET", [key, ...wanted.fields]);
        await send("EXPIRE", [key, String(wanted.ttlS)]);
      }
    }
    // An empty transaction ends the WATCH. UNWATCH would need another permission.
    const replies = await send("EXEC", []);
    if (!isAsSeen || replies === null) return "changed";
    const isConfirmed = Array.isArray(replies) && !replies.some((reply) => reply instanceof Error);
    if (!isConfirmed) throw new RedisFailure("garbage", "the write was not confirmed");
    return "done";
  });
}

function isOlder(state: EntryState, wanted: EntryChange): boolean {
  const keptLcut = state.kind === "hash" ? readLcut(state.lcut) : undefined;
  return wanted.kind === "write" && keptLcut !== undefined && keptLcut < wanted.lcut;
}
