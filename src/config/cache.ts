import { REDIS_KEY_SCHEMAS, type RedisKeySchema } from "../redis/keys.ts";
import { DEFAULT_REDIS_OPTIONS, type RedisOptions } from "../redis/options.ts";
import { readRedisOptions } from "../redis/read-options.ts";
import { LIMITS } from "./limits.ts";
import type { Cache, OptionGroup, VariableSpec } from "./option.ts";
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
  const fleetPolling = settings.flag(CACHE.fleetPolling);
  if (fleetPolling && cache !== "redis") {
    const shown = settings.shown(CACHE.fleetPolling);
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
      connectTimeoutMs: settings.integer(CACHE.redisConnectionTimeoutInS) * 1_000,
      maxReplyBytes: settings.integer(LIMITS.maxPayloadInMb) * 1024 * 1024 + OTHER_FIELDS_BYTES,
    },
    leaderKeyTtlMs: settings.integer(CACHE.redisLeaderKeyTtl) * 1_000,
    cacheTtlMs: settings.integer(CACHE.redisCacheTtlInS) * 1_000,
    schemas: settings.list(CACHE.redisKeySchema),
    doubleWriteLegacy: settings.flag(CACHE.doubleWriteCacheForLegacyKey),
    fleetPolling,
  };
}

/** The options of what stands behind CACHE, in the order of `--help`. Names and defaults of the original proxy must stay. */
export const CACHE = {
  localCachePath: {
    name: "local-cache-path",
    kind: "text",
    placeholder: "FOLDER",
    description: "Folder of the local backup (Default: under XDG_STATE_HOME, or systemd's state directory)",
  },
  localCacheMaxInMb: {
    name: "local-cache-max-in-mb",
    kind: "integer",
    default: "1024",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Size of the local backup; beyond, what was not used for longest goes",
  },
  redisLeaderKeyTtl: {
    name: "redis-leader-key-ttl",
    short: "r",
    kind: "integer",
    default: "70",
    min: 1,
    max: 86_400,
    placeholder: "SECONDS",
    description:
      "How long original relays on the same Redis do not write after this relay last renewed their leader key",
  },
  redisCacheTtlInS: {
    name: "redis-cache-ttl-in-s",
    kind: "integer",
    default: "86400",
    min: 1,
    max: 31_536_000,
    placeholder: "SECONDS",
    description: "How long Redis keeps config specs that no relay holds any more",
  },
  redisKeySchema: {
    name: "redis-key-schema",
    kind: "text",
    default: "v3",
    isList: true,
    words: REDIS_KEY_SCHEMAS,
    placeholder: "v1,v3,v4",
    description: "Forms of the Redis keys to write, of which the first is read",
  },
  doubleWriteCacheForLegacyKey: {
    name: "double-write-cache-for-legacy-key",
    kind: "flag",
    description: "Write the Redis keys of 1.x as well",
  },
  redisConnectionTimeoutInS: {
    name: "redis-connection-timeout-in-s",
    kind: "integer",
    default: "5",
    min: 1,
    max: 300,
    placeholder: "SECONDS",
    description: "How long a connection to Redis may take to be made",
  },
  fleetPolling: {
    name: "fleet-polling",
    kind: "flag",
    description: "Of all relays that share a Redis, have one ask upstream for each key and interval",
  },
} as const satisfies OptionGroup;

/** Where Redis is, and how to reach it. */
export const REDIS_VARIABLES: readonly VariableSpec[] = [
  {
    name: "REDIS_URL",
    description: "redis://user:password@host:port/db, rediss:// for TLS",
  },
  { name: "REDIS_ENTERPRISE_HOST", default: "127.0.0.1", description: "Its host, in the place of that" },
  { name: "REDIS_ENTERPRISE_PORT", default: "6379", description: "Its port" },
  { name: "REDIS_ENTERPRISE_USER", description: "The user, where it has others than its own" },
  { name: "REDIS_ENTERPRISE_PASSWORD", isSecret: true, description: "The password" },
  { name: "REDIS_SENTINELS", description: "Sentinels: host:port, a comma list" },
  { name: "REDIS_SENTINEL_MASTER", description: "The name of the master that they watch" },
  { name: "REDIS_CLUSTER_NODES", description: "Nodes of a cluster: host:port, a comma list" },
  { name: "REDIS_TLS", default: "false", description: "TLS to Redis" },
  { name: "REDIS_TLS_CA_PATH", description: "A PEM file of the authorities of Redis' certificate" },
  { name: "REDIS_TLS_CERT_PATH", description: "A PEM file of a certificate for Redis" },
  { name: "REDIS_TLS_KEY_PATH", description: "A PEM file of its private key" },
  {
    name: "REDIS_CONNECTION_POOL_MIN_SIZE",
    default: "1",
    description:
      "Connections for large values that are opened at the start; commands are pipelined, so one is usually enough",
  },
  {
    name: "REDIS_CONNECTION_POOL_MAX_SIZE",
    default: "1",
    description: "Connections for large values at most; more help if one can't use all of the network",
  },
];
