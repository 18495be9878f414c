import { createHash } from "node:crypto";
import { RedisFailure } from "./failure.ts";
import type { RedisConnection } from "./redis-connection.ts";

/** A script on one key, so that it runs on the key's node of a Cluster. Redis keeps it by its digest. */
export class RedisScript {
  readonly #source: string;
  readonly #digest: string;

  constructor(source: string) {
    this.#source = source;
    this.#digest = createHash("sha1").update(source).digest("hex");
  }

  async run(redis: RedisConnection, key: string, args: readonly (string | Buffer)[]): Promise<unknown> {
    try {
      return await redis.send("EVALSHA", [this.#digest, "1", key, ...args]);
    } catch (error) {
      if (!(error instanceof RedisFailure && error.code === "NOSCRIPT")) throw error;
      return redis.send("EVAL", [this.#source, "1", key, ...args]);
    }
  }
}
