import type { Feed } from "../specs/feed.ts";
import { isInFuture, parseLcut } from "../specs/payload.ts";
import { RedisFailure } from "./failure.ts";
import { type NamedKey, sdkKeyDigest } from "./keys.ts";
import type { RedisCommands } from "./link-pool.ts";
import type { RedisConnection } from "./redis-connection.ts";

/**
 * An entry is a hash. `config`, `lcut` and `encoding` are the original's; `key_digest` (of the whole SDK key) and `checksum`
 * (of the lcut and the config) are ours. An original relay may overwrite its fields and leave ours, so ours say something
 * about the config only where the checksum matches.
 */
export type EntryField = "config" | "lcut" | "encoding" | "key_digest" | "checksum";

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
  const answer = await orWithout(redis, "HMGET", async (command) =>
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
  const answer = await orWithout(redis, "HSTRLEN", (command) => via.send(command, [key, "config"]));
  return typeof answer === "number" ? answer : undefined;
}

/** Undefined if the Redis user may not run the command. */
export async function orWithout(
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

export interface Checksum {
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
export type Standing =
  /** Nothing, or nothing that is worth keeping. */
  | { readonly kind: "replaceable" }
  | { readonly kind: "of_another_key" }
  | { readonly kind: "not_newer"; readonly lcut: number };

export interface VersionToCompare {
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
export function fingerprint(state: EntryState): string {
  if (state.kind === "other") return "other";
  const fields = [state.lcut, state.keyDigest, state.checksum].map((value) =>
    value === undefined ? "-" : `+${value.length}:${value.slice(0, 100)}`,
  );
  return [...fields, state.configBytes ?? "?"].join("|");
}

/** Under v1 and v3 the name holds the digest of the whole SDK key. */
export const namesWholeKey = ({ schema }: NamedKey): boolean => schema !== "v4";
