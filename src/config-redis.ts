import type { Cache } from "./positionals.ts";
import { REDIS_KEY_SCHEMAS, type RedisKeySchema } from "./redis/keys.ts";
import { DEFAULT_REDIS_OPTIONS, type RedisOptions } from "./redis/options.ts";
import { readRedisOptions } from "./redis/read-options.ts";
import { ConfigError, type Environment, type Settings } from "./settings.ts";

export interface RedisCacheConfig {
  readonly connection: RedisOptions;
  readonly leaderKeyTtlMs: number;
  readonly cacheTtlMs: number;
  /** To write; the first is read. */
  readonly schemas: readonly RedisKeySchema[];
  readonly doubleWriteLegacy: boolean;
  /** One relay polls for all. */
  readonly fleetPolling: boolean;
}

/** What an entry may hold beside its config. A manifest of ID lists fits in, too. */
const OTHER_FIELDS_BYTES = 8 * 1024 * 1024;

/** Throws {@link ConfigError}. */
export function readRedis(settings: Settings, env: Environment, cache: Cache): RedisCacheConfig {
  const fleetPolling = settings.flag("fleet-polling");
  if (fleetPolling && cache !== "redis") {
    const shown = settings.shown("fleet-polling");
    throw new ConfigError(
      `${shown} needs the CACHE redis, by which relays know of each other, given is "${cache}"`,
    );
  }
  const connection =
    cache === "redis"
      ? readRedisOptions(env, (problem) => {
          throw new ConfigError(problem);
        })
      : DEFAULT_REDIS_OPTIONS;
  return {
    connection: {
      ...connection,
      connectTimeoutMs: settings.integer("redis-connection-timeout-in-s") * 1_000,
      maxAnswerBytes: settings.integer("max-payload-in-mb") * 1024 * 1024 + OTHER_FIELDS_BYTES,
    },
    leaderKeyTtlMs: settings.integer("redis-leader-key-ttl") * 1_000,
    cacheTtlMs: settings.integer("redis-cache-ttl-in-s") * 1_000,
    schemas: settings.list("redis-key-schema", REDIS_KEY_SCHEMAS),
    doubleWriteLegacy: settings.flag("double-write-cache-for-legacy-key"),
    fleetPolling,
  };
}
