import { createHash } from "node:crypto";
import { RedisFailure } from "./failure.ts";
import type { RedisCommands } from "./link-pool.ts";
import type { RedisConnection } from "./redis-connection.ts";

/** A script on one key, or on keys of one slot, so that it runs on their node of a Cluster. Redis keeps it by its digest. */
export class RedisScript {
  readonly #source: string;
  readonly #digest: string;

  constructor(source: string) {
    this.#source = source;
    this.#digest = createHash("sha1").update(source).digest("hex");
  }

  /** `via`: `redis.bulk` if an argument is large. */
  async run(
    redis: RedisConnection,
    keys: string | readonly string[],
    args: readonly (string | Buffer)[],
    via: RedisCommands = redis,
  ): Promise<unknown> {
    const names = typeof keys === "string" ? [keys] : keys;
    const rest = [String(names.length), ...names, ...args];
    // A large argument is not to travel twice, because Redis does not know the script yet.
    if (via === redis && redis.permissions.mayTry("EVALSHA")) {
      try {
        return await via.send("EVALSHA", [this.#digest, ...rest]);
      } catch (error) {
        const mustSendSource =
          error instanceof RedisFailure && (error.code === "NOSCRIPT" || error.denied === "command");
        if (!mustSendSource) throw error;
      }
    }
    redis.permissions.check("EVAL");
    return via.send("EVAL", [this.#source, ...rest]);
  }
}
