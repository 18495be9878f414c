import type { Feed } from "../specs/feed.ts";
import { isInFuture, parseLcut } from "../specs/payload/payload.ts";
import { type RedisConnection, RedisScript } from "./connection.ts";
import { RedisFailure } from "./errors.ts";
import { type NamedKey, sdkKeyDigest } from "./keys.ts";
import type { RedisCommands } from "./link-pool.ts";
import { ENTRY_SCRIPT } from "./permissions.ts";

/**
 * An entry is a hash. `config`, `lcut` and `encoding` are the original's; `key_digest` (of the whole SDK key) and `checksum`
 * (of the lcut and the config) are ours. An original relay may overwrite its fields and leave ours, so ours say something
 * about the config only where the checksum matches.
 */
type EntryField = "config" | "lcut" | "encoding" | "key_digest" | "checksum";

/** What can be known of an entry without its config. Texts are as they are stored. */
export type EntryState =
  | {
      readonly kind: "hash";
      readonly lcut: string | undefined;
      readonly keyDigest: string | undefined;
      readonly checksum: string | undefined;
      /** 0 if there is no config; undefined if the Redis user may not ask for it. */
      readonly configBytes: number | undefined;
    }
  /** A value of another type than a hash. */
  | { readonly kind: "other" };

type HashState = Extract<EntryState, { kind: "hash" }>;

const STATE_FIELDS = ["lcut", "key_digest", "checksum"] as const;

/** Not one atomic step: what is done about it must find the entry unchanged. */
export async function readState(
  redis: RedisConnection,
  key: string,
  via: RedisCommands = redis,
): Promise<EntryState> {
  try {
    const [fields, configBytes] = await Promise.all([
      readFields(redis, key, STATE_FIELDS, via),
      readConfigBytes(redis, key, via),
    ]);
    const [lcut, keyDigest, checksum] = fields.map((field) => field?.toString("latin1"));
    return { kind: "hash", lcut, keyDigest, checksum, configBytes };
  } catch (error) {
    if (error instanceof RedisFailure && error.code === "WRONGTYPE") return { kind: "other" };
    throw error;
  }
}

/** In one atomic step, unless the Redis user may not run HMGET. */
export async function readFields(
  redis: RedisConnection,
  key: string,
  fields: readonly EntryField[],
  via: RedisCommands,
): Promise<readonly (Buffer | undefined)[]> {
  const answer = await ifPermitted(redis, "HMGET", async (command) =>
    via.sendForBytes(command, [key, ...fields]),
  );
  if (answer === undefined) {
    const answers = await Promise.all(fields.map((field) => via.sendForBytes("HGET", [key, field])));
    return answers.map((value) => (Buffer.isBuffer(value) ? value : undefined));
  }
  if (!Array.isArray(answer) || answer.length !== fields.length) {
    throw new RedisFailure("garbage", "what answers there does not speak as Redis does");
  }
  return answer.map((field) => (Buffer.isBuffer(field) ? field : undefined));
}

async function readConfigBytes(
  redis: RedisConnection,
  key: string,
  via: RedisCommands,
): Promise<number | undefined> {
  const answer = await ifPermitted(redis, "HSTRLEN", (command) => via.send(command, [key, "config"]));
  return typeof answer === "number" ? answer : undefined;
}

/** Undefined if the Redis user may not run the command. */
export async function ifPermitted(
  { permissions }: RedisConnection,
  command: string,
  run: (command: string) => Promise<unknown>,
): Promise<unknown> {
  if (!permissions.mayTry(command)) return undefined;
  try {
    return await run(command);
  } catch (error) {
    if (error instanceof RedisFailure && error.denied === "command") return undefined;
    throw error;
  }
}

/** The version number, as strictly as a config spec's own: one that is in the future is none. */
export function readLcut(text: string | undefined): number | undefined {
  const lcut = text !== undefined && /^\d{1,16}$/.test(text) ? parseLcut(Number(text)) : undefined;
  return lcut === undefined || isInFuture(lcut, Date.now()) ? undefined : lcut;
}

interface Checksum {
  readonly lcut: string;
  readonly bytes: number;
  /** As that of a snapshot. */
  readonly digest: string;
}

export function formatChecksum(lcut: number, bytes: number, digest: string): string {
  return `${lcut} ${bytes} ${digest}`;
}

export function parseChecksum(text: string | undefined): Checksum | undefined {
  const [, lcut, bytes, digest] = /^(\d{1,16}) (\d{1,16}) ([\w-]{16})$/.exec(text ?? "") ?? [];
  return lcut === undefined || digest === undefined ? undefined : { lcut, bytes: Number(bytes), digest };
}

/** Whether a relay of this project wrote the config that is there, as far as that can be known without reading it. */
export function isOfThisProject({ lcut, checksum, configBytes }: HashState): boolean {
  const written = parseChecksum(checksum);
  return (
    written !== undefined &&
    written.lcut === lcut &&
    (configBytes === undefined || written.bytes === configBytes)
  );
}

/** The entry is another SDK key's: two can have the same name under schema v4. */
export function isOfAnotherKey(state: HashState, feed: Feed): boolean {
  return state.keyDigest !== undefined && state.keyDigest !== sdkKeyDigest(feed) && isOfThisProject(state);
}

/** What stands in the way of a version. */
type Standing =
  /** Nothing, or nothing that is worth keeping. */
  | { readonly kind: "replaceable" }
  | { readonly kind: "of_another_key" }
  | { readonly kind: "not_newer"; readonly lcut: number };

interface VersionToCompare {
  readonly feed: Feed;
  readonly lcut: number;
  readonly bytes: Uint8Array;
}

/**
 * An entry with the same lcut stays if a relay of this project wrote it (upstream compresses one version in several ways, so
 * that lengths may differ) or if its config is as long as ours; else it is damaged. One with a newer lcut always stays:
 * whether it can be used is known only to who reads it.
 */
export function compareVersion(
  state: EntryState,
  { feed, lcut, bytes }: VersionToCompare,
  instead?: number,
): Standing {
  const keptLcut = state.kind === "hash" ? readLcut(state.lcut) : undefined;
  if (state.kind === "other" || keptLcut === undefined || state.configBytes === 0) {
    return { kind: "replaceable" };
  }
  if (keptLcut === instead) return { kind: "replaceable" };
  if (isOfAnotherKey(state, feed)) return { kind: "of_another_key" };
  if (keptLcut < lcut) return { kind: "replaceable" };
  const isWhole =
    isOfThisProject(state) || state.configBytes === undefined || state.configBytes === bytes.length;
  return keptLcut > lcut || isWhole ? { kind: "not_newer", lcut: keptLcut } : { kind: "replaceable" };
}

/** Equal for two states of which nothing is known to differ. The script of `entry-change.ts` makes the same text. */
function fingerprint(state: EntryState): string {
  if (state.kind === "other") return "other";
  const fields = [state.lcut, state.keyDigest, state.checksum].map((value) =>
    value === undefined ? "-" : `+${value.length}:${value.slice(0, 100)}`,
  );
  return [...fields, state.configBytes ?? "?"].join("|");
}

/** Under v1 and v3 the name holds the digest of the whole SDK key. */
export const namesWholeKey = ({ schema }: NamedKey): boolean => schema !== "v4";

type EntryChange =
  | { readonly kind: "delete" }
  | {
      readonly kind: "write";
      readonly lcut: number;
      /** Names and values of all fields. */
      readonly fields: readonly (string | Buffer)[];
      readonly ttlS: number;
    };

type ChangeOutcome =
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
