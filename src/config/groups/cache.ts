import { DEFAULT_AUTHORITY } from "../../redis/auth/read-login.ts";
import { REDIS_KEY_SCHEMAS, type RedisKeySchema } from "../../redis/keys.ts";
import { DEFAULT_REDIS_OPTIONS, type RedisOptions } from "../../redis/options.ts";
import { readRedisOptions } from "../../redis/read-options.ts";
import type { Cache, OptionGroup, VariableSpec } from "../option.ts";
import { ConfigError, type Environment, type Settings } from "../settings.ts";
import { LIMITS } from "./limits.ts";

export interface RedisCacheConfig {
  readonly connection: RedisOptions;
  readonly leaderKeyTtlMs: number;
  readonly cacheTtlMs: number;
  /** The schemas of the keys that are written and read. */
  readonly schemas: readonly RedisKeySchema[];
  readonly doubleWriteLegacy: boolean;
  /** For each feed and interval, one of the relays that share this Redis requests upstream. */
  readonly fleetPolling: boolean;
}

/** Room in a reply for the fields of an entry beside its config. A manifest of ID lists fits as well. */
const OTHER_FIELDS_BYTES = 8 * 1024 * 1024;

/** Throws {@link ConfigError}. */
export function readRedis(settings: Settings, env: Environment, cache: Cache): RedisCacheConfig {
  const fleetPolling = settings.flag(CACHE.fleetPolling);
  if (fleetPolling && cache !== "redis") {
    const shown = settings.shown(CACHE.fleetPolling);
    throw new ConfigError(
      `${shown} requires <CACHE> redis, which the relays of a fleet share, but it is ${cache}`,
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

/** The options of the backup, in the order of `--help`. Names and defaults of the original proxy must stay. */
export const CACHE = {
  localCachePath: {
    name: "local-cache-path",
    kind: "text",
    placeholder: "FOLDER",
    description:
      "Folder of the local backup (Default: systemd's STATE_DIRECTORY, else a folder in XDG_STATE_HOME)",
  },
  localCacheMaxInMb: {
    name: "local-cache-max-in-mb",
    kind: "integer",
    default: "1024",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Maximum size of the local backup in MB; the least recently used entries are evicted",
  },
  redisLeaderKeyTtl: {
    name: "redis-leader-key-ttl",
    short: "r",
    kind: "integer",
    default: "70",
    min: 1,
    max: 86_400,
    original: "i64",
    placeholder: "SECONDS",
    description:
      "Seconds until the leader key of an original relay expires that was killed before it set this itself",
  },
  redisCacheTtlInS: {
    name: "redis-cache-ttl-in-s",
    kind: "integer",
    default: "86400",
    min: 1,
    max: 31_536_000,
    original: "i64",
    placeholder: "SECONDS",
    description: "Seconds that Redis keeps config specs after the last relay stopped serving them",
  },
  redisKeySchema: {
    name: "redis-key-schema",
    kind: "text",
    default: "v4,v3",
    isList: true,
    words: REDIS_KEY_SCHEMAS,
    placeholder: "v1,v3,v4",
    description:
      "Redis key schemas to write and read, comma-separated; of different versions, the newest counts",
  },
  doubleWriteCacheForLegacyKey: {
    name: "double-write-cache-for-legacy-key",
    kind: "flag",
    description: "Also write and read the Redis keys of versions 3.x and 1.x",
  },
  jsonWithProtobuf: {
    name: "json-with-protobuf",
    kind: "text",
    default: "true",
    words: ["true", "false"],
    placeholder: "true|false",
    description:
      "Keep JSON in memory and in the backup as well if clients read only protobuf, at one request per update",
  },
  redisConnectionTimeoutInS: {
    name: "redis-connection-timeout-in-s",
    kind: "integer",
    default: "5",
    min: 1,
    max: 300,
    original: "u64",
    placeholder: "SECONDS",
    description: "Timeout for connecting to Redis in seconds",
  },
  fleetPolling: {
    name: "fleet-polling",
    kind: "flag",
    description:
      "Share polls in a fleet: for each feed and interval, one of the relays on a Redis requests upstream",
  },
} as const satisfies OptionGroup;

/** The address of Redis and the connection to it. */
export const REDIS_VARIABLES: readonly VariableSpec[] = [
  {
    name: "REDIS_URL",
    description: "URL of Redis: redis://user:password@host:port/db, or rediss:// for TLS",
  },
  { name: "REDIS_ENTERPRISE_HOST", default: "127.0.0.1", description: "Host of Redis, instead of REDIS_URL" },
  { name: "REDIS_ENTERPRISE_PORT", default: "6379", description: "Port of Redis, instead of REDIS_URL" },
  {
    name: "REDIS_AUTH_MODE",
    default: "password",
    description: "How to log in to Redis: password, or oauth for access tokens of Microsoft Entra ID",
  },
  {
    name: "REDIS_ENTERPRISE_USER",
    description: "Redis ACL user; without REDIS_ENTERPRISE_PASSWORD it logs in with an empty password",
  },
  {
    name: "REDIS_ENTERPRISE_PASSWORD",
    isSecret: true,
    description: "Redis password, as it is; if Redis rejects that, also percent-encoded",
  },
  { name: "REDIS_OAUTH_TENANT_ID", description: "Tenant in Microsoft Entra ID" },
  { name: "REDIS_OAUTH_CLIENT_ID", description: "Client ID of the app registration" },
  { name: "REDIS_OAUTH_CLIENT_SECRET", isSecret: true, description: "Client secret of the app registration" },
  { name: "REDIS_OAUTH_SCOPE", description: "Scope of the access tokens, which ends with /.default" },
  {
    name: "REDIS_OAUTH_USERNAME",
    default: "Redis's default user",
    description: "Redis user that the access tokens belong to, such as an object ID",
  },
  {
    name: "REDIS_OAUTH_REFRESH_MARGIN_IN_S",
    default: "a quarter of the token's life",
    description: "Seconds before the end of an access token at which it is renewed, at least 60",
  },
  {
    name: "REDIS_OAUTH_AUTHORITY_HOST",
    default: DEFAULT_AUTHORITY,
    description: "https:// URL of Microsoft Entra ID, for other clouds than Azure's public one",
  },
  {
    name: "REDIS_OAUTH_ALLOW_PLAINTEXT",
    default: "false",
    description:
      "Whether access tokens may be sent to Redis without TLS, because something else encrypts them",
  },
  { name: "REDIS_SENTINELS", description: "Comma-separated Redis Sentinels, each host:port" },
  { name: "REDIS_SENTINEL_MASTER", description: "Name of the primary that the Sentinels monitor" },
  { name: "REDIS_CLUSTER_NODES", description: "Comma-separated nodes of a Redis Cluster, each host:port" },
  {
    name: "REDIS_KEY_PREFIX",
    description: "Begins the name of every Redis key and channel; a colon is added unless it ends with one",
  },
  { name: "REDIS_TLS", default: "false", description: "Whether connections to Redis use TLS: true or false" },
  {
    name: "REDIS_TLS_CA_PATH",
    description: "PEM file with the CA certificates that signed the certificate of Redis",
  },
  { name: "REDIS_TLS_CERT_PATH", description: "PEM file with the relay's client certificate for Redis" },
  { name: "REDIS_TLS_KEY_PATH", description: "PEM file with the private key of REDIS_TLS_CERT_PATH" },
  {
    name: "REDIS_MEMORYSTORE",
    hasNoEffect: true,
    description: "No effect: the original proxy reads it and does not use it",
  },
  {
    name: "REDIS_CONNECTION_POOL_MIN_SIZE",
    default: "1",
    description:
      "Connections for large values opened at start; commands are pipelined, so one is usually enough",
  },
  {
    name: "REDIS_CONNECTION_POOL_MAX_SIZE",
    default: "1",
    description:
      "Maximum connections for large values; more help if one cannot use the whole network bandwidth",
  },
];
