import type { Feed } from "../specs/feed.ts";
import { describeTooLarge, isInFuture, parseLcut, type RawPayload } from "../specs/payload.ts";
import { djb2 } from "../specs/sdk-key.ts";
import type { BackupRead } from "../specs/spec-backup.ts";
import { RedisFailure } from "./failure.ts";
import { type NamedKey, sdkKeyDigest } from "./keys.ts";
import type { RedisConnection } from "./redis-connection.ts";

export interface EntryWanted {
  readonly feed: Feed;
  /** An lcut; the config is fetched only if it is newer. */
  readonly newerThan: number;
  /** A config that is longer is not fetched. */
  readonly maxBytes: number;
}

/** What is kept under one key. */
export async function readEntry(
  redis: RedisConnection,
  key: NamedKey,
  wanted: EntryWanted,
): Promise<BackupRead> {
  const { feed, newerThan } = wanted;
  try {
    const kept = await redis.sendForBytes("HMGET", [key.name, "lcut", "key_digest"]);
    const [lcut, digest] = fieldsOf(kept, 2);
    if (lcut === undefined && digest === undefined) {
      // Without these fields it may still be something: reported, not passed over.
      if ((await redis.send("EXISTS", [key.name])) !== 1) return { kind: "none" };
    } else {
      const stamp = readStamp(lcut, digest, feed);
      if (typeof stamp === "string") return { kind: "unusable", detail: stamp };
      if (stamp.lcut <= newerThan) return { kind: "none" };
    }
    return await readWhole(redis, key, wanted);
  } catch (error) {
    if (error instanceof RedisFailure && error.code === "WRONGTYPE") {
      return { kind: "unusable", detail: "a value of another type is there, not a hash" };
    }
    throw error;
  }
}

async function readWhole(
  redis: RedisConnection,
  key: NamedKey,
  { feed, newerThan, maxBytes }: EntryWanted,
): Promise<BackupRead> {
  const bytes = await redis.send("HSTRLEN", [key.name, "config"]);
  if (typeof bytes === "number" && bytes > maxBytes) {
    return { kind: "unusable", detail: describeTooLarge(maxBytes) };
  }
  const kept = await redis.sendForBytes("HMGET", [key.name, "lcut", "key_digest", "encoding", "config"]);
  const [lcut, digest, encoding, config] = fieldsOf(kept, 4);
  if ([lcut, digest, encoding, config].every((field) => field === undefined)) {
    // It expired just now, or is a hash of somebody else's.
    if ((await redis.send("EXISTS", [key.name])) !== 1) return { kind: "none" };
  }
  const stamp = readStamp(lcut, digest, feed);
  if (typeof stamp === "string") return { kind: "unusable", detail: stamp };
  if (stamp.lcut <= newerThan) return { kind: "none" };
  const format = readFormat(encoding, feed);
  if (format === undefined) return { kind: "unusable", detail: "its encoding is unknown" };
  if (config === undefined || config.length === 0) return { kind: "unusable", detail: "it has no config" };
  const raw: RawPayload = {
    // A copy: the library's buffers are pieces of larger ones, and may not be handed to another thread.
    body: new Uint8Array(config),
    contentEncoding: format === "proto" ? "statsig-br" : "",
    format,
    headerLcut: stamp.lcut,
    sdkKeyHash: djb2(feed.sdkKey),
    // Under v4 names keys can collide; only the original writes without the digest.
    ...(key.schema === "v4" && digest === undefined && { mustNameKey: true }),
  };
  return { kind: "found", raw };
}

/** The version, or why there is none that could be this feed's. */
function readStamp(
  lcut: Buffer | undefined,
  digest: Buffer | undefined,
  feed: Feed,
): { readonly lcut: number } | string {
  if (digest !== undefined && digest.toString("latin1") !== sdkKeyDigest(feed)) {
    return "it is another SDK key's";
  }
  const text = lcut?.toString("latin1") ?? "";
  const version = /^\d{1,16}$/.test(text) ? parseLcut(Number(text)) : undefined;
  if (version === undefined) return "its lcut is no version number";
  return isInFuture(version, Date.now()) ? `its lcut ${version} is in the future` : { lcut: version };
}

function readFormat(encoding: Buffer | undefined, feed: Feed): Feed["format"] | undefined {
  switch (encoding?.toString("latin1")) {
    case undefined:
      return feed.format;
    case "plain_text":
      return "json";
    case "statsig-br":
      return "proto";
    default:
      return undefined;
  }
}

function fieldsOf(answer: unknown, count: number): readonly (Buffer | undefined)[] {
  if (!Array.isArray(answer) || answer.length !== count) {
    throw new RedisFailure("garbage", "what answers there does not speak as Redis does");
  }
  return answer.map((field) => (Buffer.isBuffer(field) ? field : undefined));
}
