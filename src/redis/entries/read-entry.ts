import { djb2 } from "../../access/sdk-key.ts";
import type { BackupRead } from "../../specs/backup.ts";
import type { Feed } from "../../specs/feed.ts";
import { describeTooLarge, type RawPayload } from "../../specs/payload/payload.ts";
import { digestBytes } from "../../specs/snapshot.ts";
import type { RedisConnection } from "../connection.ts";
import { RedisFailure } from "../errors.ts";
import { type NamedKey, sdkKeyDigest } from "../keys.ts";
import {
  type EntryState,
  ifPermitted,
  isOfAnotherKey,
  namesWholeKey,
  parseChecksum,
  readFields,
  readLcut,
  readState,
} from "./entry.ts";
import { detectFormat, findOwner } from "./owner.ts";

interface EntryWanted {
  readonly feed: Feed;
  /** Only a config with a newer lcut is read. */
  readonly newerThan: number;
  /** A longer config is not read. */
  readonly maxBytes: number;
  /** Returns whether the operator listed this SDK key, and no other one with the same v4 name. */
  readonly isSoleKey: () => boolean;
}

/** All fields of an entry, read at the same moment. */
interface WholeEntry {
  readonly lcut: string | undefined;
  readonly keyDigest: string | undefined;
  readonly checksum: string | undefined;
  readonly encoding: string | undefined;
  readonly config: Buffer | undefined;
}

/** How often an entry is read if it changes meanwhile. Without HMGET, reading it takes several commands. */
const MAX_ATTEMPTS = 5;

const SMALL_FIELDS = ["lcut", "key_digest", "checksum", "encoding"] as const;

const OTHER_TYPE = "the value is not a hash";
const OTHER_KEY = "it belongs to another SDK key";

/**
 * Reads the newest usable entry of a feed's keys. Reads the small fields of all keys first, and a config only if they do not rule
 * it out. `next` of the result reads the next older entry. Keys that cannot be read are skipped, since the others may be on another
 * node of a Cluster; rejects if none of the others has a usable entry.
 */
export async function readNewest(
  redis: RedisConnection,
  keys: readonly NamedKey[],
  wanted: EntryWanted,
): Promise<BackupRead> {
  const states = await Promise.allSettled(
    keys.map(async (key) => ({ key, state: await readState(redis, key.name) })),
  );
  const entries = states.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
  const read = await readFirst(redis, entries.toSorted(byAge), wanted);
  const failed = states.find((each) => each.status === "rejected");
  if (failed !== undefined && read.kind !== "found") throw failed.reason;
  return read;
}

interface SeenEntry {
  readonly key: NamedKey;
  readonly state: EntryState;
}

const byAge = (one: SeenEntry, other: SeenEntry): number => lcutOrNone(other) - lcutOrNone(one);

const lcutOrNone = ({ state }: SeenEntry): number =>
  (state.kind === "hash" ? readLcut(state.lcut) : undefined) ?? -1;

async function readFirst(
  redis: RedisConnection,
  [first, ...others]: readonly SeenEntry[],
  wanted: EntryWanted,
): Promise<BackupRead> {
  if (first === undefined) return { kind: "none" };
  const read = await readEntry(redis, first, wanted);
  if (others.length === 0) return read;
  const next = () => readFirst(redis, others, wanted);
  return read.kind === "none" ? next() : { ...read, next };
}

async function readEntry(
  redis: RedisConnection,
  { key, state }: SeenEntry,
  wanted: EntryWanted,
): Promise<BackupRead> {
  const known = judgeState(state, wanted);
  if (known !== undefined) return known;
  if (state.kind === "hash" && state.lcut === undefined) {
    const ttl = await ifPermitted(redis, "TTL", (command) => redis.send(command, [key.name]));
    if (ttl === -2 || ttl === undefined) return { kind: "none" };
  }
  const entry = await readWhole(redis, key.name);
  if (entry === undefined) return unusable(OTHER_TYPE);
  return judgeEntry(entry, key, wanted);
}

const unusable = (detail: string): BackupRead => ({ kind: "unusable", detail });

/** Returns undefined if the whole entry must be read. The state was not read atomically, so a missing lcut proves nothing. */
function judgeState(state: EntryState, { feed, newerThan, maxBytes }: EntryWanted): BackupRead | undefined {
  if (state.kind === "other") return unusable(OTHER_TYPE);
  if (isOfAnotherKey(state, feed)) return unusable(OTHER_KEY);
  const lcut = readLcut(state.lcut);
  if (lcut !== undefined && lcut <= newerThan) return { kind: "none" };
  const { configBytes = 0 } = state;
  return configBytes > maxBytes ? unusable(describeTooLarge(maxBytes)) : undefined;
}

/** Resolves with undefined if the value is not a hash. */
async function readWhole(redis: RedisConnection, key: string): Promise<WholeEntry | undefined> {
  try {
    if (redis.permissions.mayTry("HMGET")) {
      const fields = await readFields(redis, key, [...SMALL_FIELDS, "config"], redis.bulk);
      if (redis.permissions.mayTry("HMGET")) return toWholeEntry(fields);
    }
    for (let left = MAX_ATTEMPTS; left > 0; left--) {
      const entry = await readFieldByField(redis, key);
      if (entry !== undefined) return entry;
    }
  } catch (error) {
    if (error instanceof RedisFailure && error.code === "WRONGTYPE") return undefined;
    throw error;
  }
  throw new RedisFailure("refused", "other relays keep changing the entry");
}

/**
 * Resolves with undefined if the entry changed meanwhile. Two original relays may change it and change it back, so equal small fields
 * before and after prove nothing of the config: its checksum does, or else the same config after them.
 */
async function readFieldByField(redis: RedisConnection, key: string): Promise<WholeEntry | undefined> {
  const before = await readFields(redis, key, SMALL_FIELDS, redis.bulk);
  const [config] = await readFields(redis, key, ["config"], redis.bulk);
  const after = await readFields(redis, key, SMALL_FIELDS, redis.bulk);
  if (!before.every((field, at) => isSame(field, after[at]))) return undefined;
  const entry = toWholeEntry([...before, config]);
  if (config !== undefined && hasChecksum(entry, config)) return entry;
  const [again] = await readFields(redis, key, ["config"], redis.bulk);
  return isSame(config, again) ? entry : undefined;
}

function toWholeEntry([lcut, keyDigest, checksum, encoding, config]: readonly (
  | Buffer
  | undefined
)[]): WholeEntry {
  return {
    lcut: lcut?.toString("latin1"),
    keyDigest: keyDigest?.toString("latin1"),
    checksum: checksum?.toString("latin1"),
    encoding: encoding?.toString("latin1"),
    config,
  };
}

const isSame = (a: Buffer | undefined, b: Buffer | undefined): boolean =>
  a === undefined || b === undefined ? a === b : a.equals(b);

async function judgeEntry(
  entry: WholeEntry,
  key: NamedKey,
  { feed, newerThan, maxBytes, isSoleKey }: EntryWanted,
): Promise<BackupRead> {
  const { config, keyDigest } = entry;
  const lcut = readLcut(entry.lcut);
  if (lcut === undefined)
    return unusable("its lcut is not a version number or is more than 24 h in the future");
  if (lcut <= newerThan) return { kind: "none" };
  if (!isKnownEncoding(entry.encoding, feed)) return unusable("its encoding is unknown");
  if (config === undefined || config.length === 0) return unusable("it has no config");
  if (config.length > maxBytes) return unusable(describeTooLarge(maxBytes));
  const isOtherDigest = keyDigest !== undefined && keyDigest !== sdkKeyDigest(feed);
  if (isOtherDigest && (namesWholeKey(key) || hasChecksum(entry, config))) return unusable(OTHER_KEY);
  if (isOfOtherVersion(entry, config)) return unusable("its lcut does not match its config");
  // An original relay may have written another key's config under a v4 name, and left the key_digest of this project in place.
  const isKnownOwner = namesWholeKey(key) || (keyDigest !== undefined && hasChecksum(entry, config));
  const format = detectFormat(config, feed);
  const owner = isKnownOwner ? "this" : await findOwner(config, format, feed, maxBytes);
  const isUnverified = owner === "another" || (owner === "unknown" && !isSoleKey());
  const raw: RawPayload = {
    // Copied, because the library's buffers share larger ones, which can't be transferred to another thread.
    body: new Uint8Array(config),
    contentEncoding: format === "proto" ? "statsig-br" : "",
    format,
    headerLcut: lcut,
    sdkKeyHash: djb2(feed.sdkKey),
    ...(isUnverified && { mustNameKey: true }),
  };
  return { kind: "found", raw, ...(isUnverified && { isUnverified }) };
}

/** Whether a relay of this project wrote the config, so that the fields it added describe it. */
function hasChecksum({ checksum }: WholeEntry, config: Buffer): boolean {
  const written = parseChecksum(checksum);
  if (written?.bytes !== config.length) return false;
  return digestBytes(config) === written.digest;
}

/** Whether an original relay, between two of its commands, has left the config of one version with the lcut of another. */
function isOfOtherVersion(entry: WholeEntry, config: Buffer): boolean {
  const written = parseChecksum(entry.checksum);
  return written !== undefined && written.lcut !== entry.lcut && hasChecksum(entry, config);
}

/** An original relay writes `plain_text`, also for protobuf; 1.x writes no encoding. */
function isKnownEncoding(encoding: string | undefined, { format }: Feed): boolean {
  if (encoding === "statsig-br") return format === "proto";
  return encoding === undefined || encoding === "plain_text";
}
