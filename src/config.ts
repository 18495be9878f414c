import { defaultLocalCachePath } from "./local/local-path.ts";
import { REDIS_KEY_SCHEMAS, type RedisKeySchema } from "./redis/keys.ts";
import { DEFAULT_REDIS_OPTIONS, type RedisOptions } from "./redis/options.ts";
import { readRedisOptions } from "./redis/read-options.ts";
import { readSdkKeyList } from "./sdk-key-list.ts";
import { ConfigError, type Environment, oneOf, Settings } from "./settings.ts";
import type { SdkKey } from "./specs/sdk-key.ts";

export const MODES = ["grpc-and-http", "grpc", "http"] as const;
export type Mode = (typeof MODES)[number];

export const CACHES = ["disabled", "local", "redis"] as const;
export type Cache = (typeof CACHES)[number];

/** Everything that can be set, read once at start. */
export interface Config {
  readonly mode: Mode;
  readonly cache: Cache;
  readonly bindAddress: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly maxKeys: number;
  readonly pollIntervalMs: number;
  readonly maxRequestsInFlight: number;
  readonly maxStreams: number;
  readonly clearOnUnauthorized: boolean;
  readonly local: LocalCacheConfig;
  readonly redis: RedisCacheConfig;
  readonly preloadSdkKeys: readonly SdkKey[];
  readonly shutdownGraceMs: number;
  readonly debugLogging: boolean;
  /** `STATSIG_ENDPOINT`. */
  readonly upstreamUrl: string;
  /** Requests to upstream go through `HTTP_PROXY` or `HTTPS_PROXY`. */
  readonly upstreamProxied: boolean;
  /** `HOSTNAME`, where it can be a header; told to streaming clients. */
  readonly hostname: string;
}

export interface RedisCacheConfig {
  readonly connection: RedisOptions;
  readonly leaseTtlMs: number;
  readonly cacheTtlMs: number;
  /** To write; the first is read. */
  readonly schemas: readonly RedisKeySchema[];
  readonly doubleWriteLegacy: boolean;
  /** One relay polls for all. */
  readonly fleetPolling: boolean;
}

export interface LocalCacheConfig {
  /** The folder of the local backup. */
  readonly path: string;
  readonly maxBytes: number;
}

/** What was given on the command line: texts by option name. */
export interface GivenConfig {
  readonly mode: string | undefined;
  readonly cache: string | undefined;
  readonly values: ReadonlyMap<string, string>;
}

const DEFAULT_UPSTREAM_URL = "https://api.statsigcdn.com";

/** Flags go before the environment, the environment before defaults. Throws {@link ConfigError}. */
export function readConfig(given: GivenConfig, env: Environment): Config {
  const settings = new Settings(given.values, env);
  const mode = oneOf("MODE", given.mode, MODES);
  const cache = oneOf("CACHE", given.cache, CACHES);
  const upstreamUrl = readUpstreamUrl(env["STATSIG_ENDPOINT"]);
  const maxKeys = settings.integer("maximum-concurrent-sdk-keys");
  return {
    mode,
    cache,
    bindAddress: settings.text("bind-address"),
    httpPort: settings.integer("http-port"),
    grpcPort: settings.integer("grpc-port"),
    maxKeys,
    pollIntervalMs: settings.integer("polling-interval-in-s") * 1_000,
    maxRequestsInFlight: settings.integer("update-batch-size"),
    maxStreams: settings.integer("grpc-max-concurrent-streams"),
    clearOnUnauthorized: settings.flag("clear-datastore-on-unauthorized"),
    local: {
      path: settings.text("local-cache-path") || defaultLocalCachePath(env),
      maxBytes: settings.integer("local-cache-max-in-mb") * 1024 * 1024,
    },
    redis: readRedis(settings, env, cache),
    preloadSdkKeys: readPreload(settings, maxKeys),
    shutdownGraceMs: settings.integer("shutdown-grace-in-s") * 1_000,
    debugLogging: settings.flag("debug-logging"),
    upstreamUrl,
    upstreamProxied: isProxied(upstreamUrl, env),
    hostname: /^[!-~]+$/.test(env["HOSTNAME"] ?? "") ? String(env["HOSTNAME"]) : "no_hostname_set",
  };
}

function readRedis(settings: Settings, env: Environment, cache: Cache): RedisCacheConfig {
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
    },
    leaseTtlMs: settings.integer("redis-leader-key-ttl") * 1_000,
    cacheTtlMs: settings.integer("redis-cache-ttl-in-s") * 1_000,
    schemas: settings.list("redis-key-schema", REDIS_KEY_SCHEMAS),
    doubleWriteLegacy: settings.flag("double-write-cache-for-legacy-key"),
    fleetPolling,
  };
}

function readPreload(settings: Settings, maxKeys: number): readonly SdkKey[] {
  const shown = settings.shown("preload-sdk-keys");
  const keys = readSdkKeyList(settings.text("preload-sdk-keys"), (problem) => {
    throw new ConfigError(`${shown}: ${problem}`);
  });
  if (keys.length <= maxKeys) return keys;
  throw new ConfigError(
    `${shown} names ${keys.length} keys, allowed by --maximum-concurrent-sdk-keys is ${maxKeys}`,
  );
}

function readUpstreamUrl(given: string | undefined): string {
  if (!given) return DEFAULT_UPSTREAM_URL;
  if (URL.canParse(given) && /^https?:$/.test(new URL(given).protocol)) return given;
  throw new ConfigError(`STATSIG_ENDPOINT is "${given}", allowed is an http:// or https:// URL`);
}

function isProxied(upstreamUrl: string, env: Environment): boolean {
  const names = upstreamUrl.startsWith("https:")
    ? ["HTTPS_PROXY", "https_proxy"]
    : ["HTTP_PROXY", "http_proxy"];
  return [...names, "ALL_PROXY", "all_proxy"].some((name) => Boolean(env[name]));
}
