import type { Feed } from "../specs/feed.ts";
import { parseLcut } from "../specs/payload.ts";
import type { BackupWrite } from "../specs/spec-backup.ts";
import { RedisFailure } from "./failure.ts";
import { encodingOf, sdkKeyDigest } from "./keys.ts";
import type { RedisConnection } from "./redis-connection.ts";
import { RedisScript } from "./script.ts";

/**
 * Compare-and-set on `lcut`. What can't be compared is overwritten: another type, an lcut that is no number,
 * no config, another key's. What is there goes first: its fields may be more than ours, and a replacement is
 * let through where Redis is out of memory, since it needs about as much as it frees.
 * Numbers below 2^53 are exact in Lua; they are stored as they were given, since Lua prints large ones rounded.
 */
const script = new RedisScript(`
local key, lcut, digest, instead = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local kind = redis.call('TYPE', key).ok
if kind == 'hash' then
  local kept = redis.call('HMGET', key, 'lcut', 'key_digest')
  local keptLcut = kept[1] and #kept[1] <= 16 and string.match(kept[1], '^%d+$') and tonumber(kept[1])
  if keptLcut and keptLcut <= 9007199254740991 and keptLcut ~= tonumber(instead)
      and keptLcut >= tonumber(lcut) and (not kept[2] or kept[2] == digest)
      and redis.call('HSTRLEN', key, 'config') > 0 then
    return kept[1]
  end
end
if kind ~= 'none' then redis.call('DEL', key) end
redis.call('HSET', key, 'encoding', ARGV[5], 'lcut', lcut, 'key_digest', digest, 'config', ARGV[6])
redis.call('PEXPIRE', key, ARGV[4])
return 'written'
`);

export interface EntryToWrite {
  readonly feed: Feed;
  readonly format: Feed["format"];
  readonly lcut: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Writes under one key, unless at least as new a version is there. */
export async function writeEntry(
  redis: RedisConnection,
  key: string,
  entry: EntryToWrite,
  instead: number | undefined,
  ttlMs: number,
): Promise<BackupWrite> {
  const { feed, lcut, bytes } = entry;
  const answer = await script.run(redis, key, [
    String(lcut),
    sdkKeyDigest(feed),
    instead === undefined ? "" : String(instead),
    String(ttlMs),
    encodingOf(entry),
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  ]);
  if (answer === "written") return { kind: "written" };
  const keptLcut = typeof answer === "string" ? parseLcut(Number(answer)) : undefined;
  if (keptLcut === undefined) throw new RedisFailure("garbage", "the write was not confirmed");
  return { kind: "not_newer", lcut: keptLcut };
}
