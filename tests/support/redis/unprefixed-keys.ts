import { RedisKeys } from "../../../src/redis/keys.ts";

/** The names of keys without `REDIS_KEY_PREFIX`. */
export const UNPREFIXED = new RedisKeys("");
