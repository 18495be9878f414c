import { MAX_HISTORY_BYTES } from "../../specs/backup.ts";
import type { Feed } from "../../specs/feed.ts";
import type { RedisConnection } from "../connection.ts";
import { RedisFailure } from "../errors.ts";
import { type NamedKey, redisFeedId } from "../keys.ts";
import { ifPermitted, readFields } from "./entry.ts";

/**
 * Returns the value of the field `history`: the digest of the feed, a space, and the history. It names its feed itself, because
 * under a v4 name another SDK key may own the config beside it, and a history contains names of gates.
 */
export function formatHistory(feed: Feed, history: Uint8Array): Buffer {
  return Buffer.concat([toOwner(feed), history]);
}

/**
 * Reads the history of an entry. It is not read together with the config: it need not match it, and both may be large. Resolves
 * with undefined if there is none of this feed, if it is too long, or if the Redis user may not read it.
 */
export async function readHistory(
  redis: RedisConnection,
  { name }: NamedKey,
  feed: Feed,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const length = await ifPermitted(redis, "HSTRLEN", (command) => redis.send(command, [name, "history"]));
    if (typeof length === "number" && !isLengthOfOne(length)) return undefined;
    const [field] = await readFields(redis, name, ["history"], redis.bulk);
    return field === undefined ? undefined : parseHistory(feed, field);
  } catch (error) {
    const isAbsent =
      error instanceof RedisFailure && (error.code === "WRONGTYPE" || error.denied !== undefined);
    if (!isAbsent) throw error;
    return undefined;
  }
}

function parseHistory(feed: Feed, field: Buffer): Uint8Array<ArrayBuffer> | undefined {
  const owner = toOwner(feed);
  if (!isLengthOfOne(field.length) || !field.subarray(0, OWNER_BYTES).equals(owner)) return undefined;
  // Copied, because the library's buffers share larger ones, which can't be transferred to another thread.
  return new Uint8Array(field.subarray(OWNER_BYTES));
}

/** The length of {@link toOwner}: base64url of a SHA-256, and a space. */
const OWNER_BYTES = 44;

const toOwner = (feed: Feed): Buffer => Buffer.from(`${redisFeedId(feed)} `);

const isLengthOfOne = (bytes: number): boolean =>
  bytes > OWNER_BYTES && bytes <= OWNER_BYTES + MAX_HISTORY_BYTES;
