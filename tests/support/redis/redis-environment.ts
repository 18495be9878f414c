import type { RedisEnvironment, RedisOptions } from "../../../src/redis/options.ts";
import { readRedisOptions } from "../../../src/redis/read-options.ts";

class Refused extends Error {}

export function readEnvironment(env: RedisEnvironment): RedisOptions {
  return readRedisOptions(env, (problem) => {
    throw new Refused(problem);
  });
}

/** Returns the error for an invalid environment. */
export function problemOf(env: RedisEnvironment): string {
  try {
    return `taken: ${JSON.stringify(readEnvironment(env))}`;
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
}
