import { MAX_HISTORY_BYTES } from "../../specs/backup.ts";
import type { RedisConnection } from "../connection.ts";
import { RedisFailure } from "../errors.ts";
import type { NamedKey } from "../keys.ts";
import { ifPermitted, readFields } from "./entry.ts";

/**
 * Reads the history of an entry. Not together with the config: it need not match that, and a reply with both could be too large for
 * the connection. Resolves with undefined if there is none, if it is too long, or if the Redis user may not read it.
 */
export async function readHistory(
  redis: RedisConnection,
  { name }: NamedKey,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const length = await ifPermitted(redis, "HSTRLEN", (command) => redis.send(command, [name, "history"]));
    if (typeof length === "number" && !isLengthOfOne(length)) return undefined;
    const [history] = await readFields(redis, name, ["history"], redis.bulk);
    // Copied, because the library's buffers share larger ones, which can't be transferred to another thread.
    return history !== undefined && isLengthOfOne(history.length) ? new Uint8Array(history) : undefined;
  } catch (error) {
    const hasNone =
      error instanceof RedisFailure && (error.code === "WRONGTYPE" || error.denied !== undefined);
    if (!hasNone) throw error;
    return undefined;
  }
}

const isLengthOfOne = (bytes: number): boolean => bytes > 0 && bytes <= MAX_HISTORY_BYTES;
