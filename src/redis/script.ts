import { createHash } from "node:crypto";
import { RedisFailure } from "./failure.ts";
import type { RedisConnection } from "./redis-connection.ts";

/** A script on one key, or on keys of one slot, so that it runs on their node of a Cluster. Redis keeps it by its digest. */
export class RedisScript {
  readonly #source: string;
  readonly #digest: string;

  constructor(source: string) {
    this.#source = source;
    this.#digest = createHash("sha1").update(source).digest("hex");
  }

  async run(
    redis: RedisConnection,
    keys: string | readonly string[],
    args: readonly (string | Buffer)[],
  ): Promise<unknown> {
    const names = typeof keys === "string" ? [keys] : keys;
    const rest = [String(names.length), ...names, ...args];
    try {
      return await redis.send("EVALSHA", [this.#digest, ...rest]);
    } catch (error) {
      if (!(error instanceof RedisFailure && error.code === "NOSCRIPT")) throw error;
      return redis.send("EVAL", [this.#source, ...rest]);
    }
  }
}
