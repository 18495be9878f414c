import type { Overwritable } from "../../specs/backup.ts";
import type { Feed } from "../../specs/feed.ts";
import { isInFuture, parseLcut } from "../../specs/payload/payload.ts";
import type { RedisConnection } from "../connection.ts";
import { NOT_REDIS, RedisFailure } from "../errors.ts";
import { type NamedKey, sdkKeyDigest } from "../keys.ts";
import type { RedisCommands } from "../link-pool.ts";

/**
 * An entry is a Redis hash. The original relay defines `config`, `lcut` and `encoding`; this project adds `key_digest` (of the
 * whole SDK key), `checksum` (of the lcut and the config) and `history` (what changed since earlier versions). An original relay
 * may overwrite its own fields and leave the added ones, so the first two describe the config only if the checksum matches, and the
 * history may be that of another version.
 */
type EntryField = "config" | "lcut" | "encoding" | "key_digest" | "checksum" | "history";

/** What is known of an entry without reading its config. Texts are as stored. */
export type EntryState =
  | {
      readonly kind: "hash";
      readonly lcut: string | undefined;
      readonly keyDigest: string | undefined;
      readonly checksum: string | undefined;
      /** 0 if there is no config; undefined if the Redis user lacks the permission to read it. */
      readonly configBytes: number | undefined;
    }
  /** The value is not a hash. */
  | { readonly kind: "other" };

type HashState = Extract<EntryState, { kind: "hash" }>;

const STATE_FIELDS = ["lcut", "key_digest", "checksum"] as const;

/** Does not read atomically. A change that is based on the state must verify that the entry still has it. */
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

/** Reads atomically, unless the Redis user may not run HMGET. */
export async function readFields(
  redis: RedisConnection,
  key: string,
  fields: readonly EntryField[],
  via: RedisCommands,
): Promise<readonly (Buffer | undefined)[]> {
  const reply = await ifPermitted(redis, "HMGET", async (command) =>
    via.sendForBytes(command, [key, ...fields]),
  );
  if (reply === undefined) {
    const replies = await Promise.all(fields.map((field) => via.sendForBytes("HGET", [key, field])));
    return replies.map((value) => (Buffer.isBuffer(value) ? value : undefined));
  }
  if (!Array.isArray(reply) || reply.length !== fields.length) throw new RedisFailure("garbage", NOT_REDIS);
  return reply.map((field) => (Buffer.isBuffer(field) ? field : undefined));
}

async function readConfigBytes(
  redis: RedisConnection,
  key: string,
  via: RedisCommands,
): Promise<number | undefined> {
  const reply = await ifPermitted(redis, "HSTRLEN", (command) => via.send(command, [key, "config"]));
  return typeof reply === "number" ? reply : undefined;
}

/** Resolves with undefined if the Redis user may not run the command. */
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

/** Parses a version number by the same rules as in a config spec. Returns undefined if it is invalid or in the future. */
export function readLcut(text: string | undefined): number | undefined {
  const lcut = text !== undefined && /^\d{1,16}$/.test(text) ? parseLcut(Number(text)) : undefined;
  return lcut === undefined || isInFuture(lcut, Date.now()) ? undefined : lcut;
}

interface Checksum {
  readonly lcut: string;
  readonly bytes: number;
  /** The digest of a snapshot. */
  readonly digest: string;
}

export function formatChecksum(lcut: number, bytes: number, digest: string): string {
  return `${lcut} ${bytes} ${digest}`;
}

export function parseChecksum(text: string | undefined): Checksum | undefined {
  const [, lcut, bytes, digest] = /^(\d{1,16}) (\d{1,16}) ([\w-]{16})$/.exec(text ?? "") ?? [];
  return lcut === undefined || digest === undefined ? undefined : { lcut, bytes: Number(bytes), digest };
}

/** Whether a relay of this project wrote the stored config, as far as can be known without reading it. */
export function isFromThisProject({ lcut, checksum, configBytes }: HashState): boolean {
  const written = parseChecksum(checksum);
  return (
    written !== undefined &&
    written.lcut === lcut &&
    (configBytes === undefined || written.bytes === configBytes)
  );
}

/** Whether the entry belongs to another SDK key: under schema v4, two SDK keys can have the same Redis key. */
export function isOfAnotherKey(state: HashState, feed: Feed): boolean {
  return state.keyDigest !== undefined && state.keyDigest !== sdkKeyDigest(feed) && isFromThisProject(state);
}

/** Whether an entry keeps a version from being written. */
type Comparison =
  /** There is no entry, or it is older or unusable. */
  | { readonly kind: "replaceable" }
  /** The entry has the lcut of the version, with another content, and `instead` allows to replace that. */
  | { readonly kind: "other_content" }
  | { readonly kind: "of_another_key" }
  | { readonly kind: "not_newer"; readonly lcut: number };

interface VersionToCompare {
  readonly feed: Feed;
  readonly lcut: number;
  readonly bytes: Uint8Array;
  /** The digest of a snapshot. */
  readonly digest: string;
}

/**
 * Compares an entry with a version to write. An entry with a newer lcut is kept: only reading it shows whether it is usable. An
 * entry with the same lcut is kept if a relay of this project wrote it (upstream compresses a version in several ways, so lengths
 * may differ), or if its config has the same length; otherwise it is corrupt. An entry with the lcut `instead` is replaceable, as is
 * with `other_content` one with the same lcut and another digest.
 */
export function compareVersion(
  state: EntryState,
  { feed, lcut, bytes, digest }: VersionToCompare,
  instead?: Overwritable,
): Comparison {
  const keptLcut = state.kind === "hash" ? readLcut(state.lcut) : undefined;
  if (state.kind === "other" || keptLcut === undefined || state.configBytes === 0) {
    return { kind: "replaceable" };
  }
  if (keptLcut === instead) return { kind: "replaceable" };
  if (isOfAnotherKey(state, feed)) return { kind: "of_another_key" };
  if (keptLcut < lcut) return { kind: "replaceable" };
  if (keptLcut === lcut && instead === "other_content" && hasOtherDigest(state, digest)) {
    return { kind: "other_content" };
  }
  const isWhole =
    isFromThisProject(state) || state.configBytes === undefined || state.configBytes === bytes.length;
  return keptLcut > lcut || isWhole ? { kind: "not_newer", lcut: keptLcut } : { kind: "replaceable" };
}

/** Whether a relay of this project wrote another config. Nothing is known of the config of another writer. */
function hasOtherDigest(state: HashState, digest: string): boolean {
  return isFromThisProject(state) && parseChecksum(state.checksum)?.digest !== digest;
}

/** Returns a text that is equal for two states without a known difference. The script {@link change} computes the same text. */
export function fingerprint(state: EntryState): string {
  if (state.kind === "other") return "other";
  const fields = [state.lcut, state.keyDigest, state.checksum].map((value) =>
    value === undefined ? "-" : `+${value.length}:${value.slice(0, 100)}`,
  );
  return [...fields, state.configBytes ?? "?"].join("|");
}

/** Whether the Redis key identifies the SDK key: v1 and v3 names contain its digest, v4 names only its beginning. */
export const namesWholeKey = ({ schema }: NamedKey): boolean => schema !== "v4";
