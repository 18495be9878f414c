import { type EntryState, fingerprint, readLcut, readState } from "./entry-state.ts";
import { RedisFailure } from "./failure.ts";
import { ENTRY_SCRIPT } from "./permissions.ts";
import type { RedisConnection } from "./redis-connection.ts";
import { RedisScript } from "./script.ts";

export type EntryChange =
  | { readonly kind: "delete" }
  | {
      readonly kind: "write";
      readonly lcut: number;
      /** Names and values of all fields. */
      readonly fields: readonly (string | Buffer)[];
      readonly ttlS: number;
    };

export type ChangeOutcome =
  | "done"
  /** The entry is not as it was seen; nothing was changed. */
  | "changed";

/**
 * ARGV: the fingerprint of what was seen, then for a write the lcut, the TTL in seconds, and fields. What is there goes first:
 * it may have other fields than ours, and a replacement is let through where Redis is out of memory, since it needs about as
 * much as it frees. Numbers below 2^53 are exact in Lua.
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
if redis.call('TTL', key) ~= -2 then redis.call('DEL', key) end
if lcut then
  redis.call('HSET', key, unpack(ARGV, 4))
  redis.call('EXPIRE', key, ARGV[3])
end
return 'done'
`);

/** The commands of a transaction, all of which the original relay uses as well. */
const NEEDED = ["WATCH", "MULTI", "EXEC", "DEL", "HSET", "EXPIRE"] as const;

/**
 * Changes an entry that is still as it was seen, in one atomic step. For a write it may also have become another version that
 * is older. Without the permission to run scripts, or to run what they do, WATCH and MULTI do the same.
 */
export async function changeEntry(
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
  // Texts of the entry may hold any byte.
  const expected = Buffer.from(fingerprint(seen), "latin1");
  const answer = await change.run(redis, key, [expected, ...write], redis.bulk);
  if (answer === "done" || answer === "changed") return answer;
  throw new RedisFailure("garbage", "the write was not confirmed");
}

async function runTransaction(
  redis: RedisConnection,
  key: string,
  seen: EntryState,
  wanted: EntryChange,
): Promise<ChangeOutcome> {
  redis.permissions.check(...NEEDED);
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
    // An empty transaction ends the WATCH, without a permission of its own.
    const answers = await send("EXEC", []);
    if (!isAsSeen || answers === null) return "changed";
    const isConfirmed = Array.isArray(answers) && !answers.some((answer) => answer instanceof Error);
    if (!isConfirmed) throw new RedisFailure("garbage", "the write was not confirmed");
    return "done";
  });
}

function isOlder(state: EntryState, wanted: EntryChange): boolean {
  const keptLcut = state.kind === "hash" ? readLcut(state.lcut) : undefined;
  return wanted.kind === "write" && keptLcut !== undefined && keptLcut < wanted.lcut;
}
