import { readSdkKeyList, type SdkKey } from "../access/sdk-key.ts";
import { maxSocketPathBytes } from "../platform/libc.ts";
import { defaultLocalCachePath } from "../sqlite/path.ts";
import type { ServiceManagerConfig } from "../telemetry/systemd.ts";
import { type RedisCacheConfig, readRedis } from "./cache.ts";
import { type AccessConfig, type LimitsConfig, readAccess, readLimits } from "./limits.ts";
import { type EventsConfig, readEvents } from "./log-events.ts";
import { type LoggingConfig, type MonitoringConfig, readLogging, readMonitoring } from "./monitoring.ts";
import { CACHES, type Cache, MODES, type Mode } from "./option.ts";
import { findSetting, SETTINGS } from "./options.ts";
import {
  ConfigError,
  type Environment,
  type FindSetting,
  type GivenConfig,
  isHttpUrl,
  isProxied,
  Settings,
} from "./settings.ts";
import { readTls, type TlsConfig } from "./tls.ts";

export type { Cache, Mode } from "./option.ts";

/** Everything that can be set, read once at start. */
export interface Config {
  readonly mode: Mode;
  readonly cache: Cache;
  readonly bindAddress: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly maxKeys: number;
  readonly pollIntervalMs: number;
  /** Of a config spec, as sent and decoded, wherever it comes from. */
  readonly maxPayloadBytes: number;
  readonly maxRequestsInFlight: number;
  readonly maxStreams: number;
  readonly clearOnUnauthorized: boolean;
  readonly local: LocalCacheConfig;
  readonly idLists: IdListConfig;
  readonly redis: RedisCacheConfig;
  readonly events: EventsConfig;
  readonly preloadSdkKeys: readonly SdkKey[];
  /** Undefined where nothing speaks TLS. */
  readonly tls: TlsConfig | undefined;
  readonly access: AccessConfig;
  readonly limits: LimitsConfig;
  /** Undefined where there is none. */
  readonly management: { readonly bindAddress: string; readonly port: number } | undefined;
  readonly shutdownGraceMs: number;
  readonly logging: LoggingConfig;
  readonly monitoring: MonitoringConfig;
  /** Undefined where none wants to hear. */
  readonly serviceManager: ServiceManagerConfig | undefined;
  /** `STATSIG_ENDPOINT`. */
  readonly upstreamUrl: string;
  /** Requests to upstream go through `HTTP_PROXY` or `HTTPS_PROXY`. */
  readonly upstreamProxied: boolean;
  /** `HOSTNAME`, where it can be a header; told to streaming clients. */
  readonly hostname: string;
}

interface LocalCacheConfig {
  /** The folder of the local backup. */
  readonly path: string;
  readonly maxBytes: number;
}

interface IdListConfig {
  /** `STATSIG_ENDPOINT`, else where Statsig has the manifests. */
  readonly upstreamUrl: string;
  readonly upstreamProxied: boolean;
  /** The relay serves the files itself. */
  readonly proxied: boolean;
  /** Without a slash at its end; undefined where each request tells. */
  readonly publicUrl: string | undefined;
  /** Of all files together. */
  readonly maxBytes: number;
  /** Files downloaded at once. */
  readonly maxDownloads: number;
}

const DEFAULT_UPSTREAM_URL = "https://api.statsigcdn.com";
const DEFAULT_ID_LISTS_URL = "https://api.statsig.com";

/** Throws {@link ConfigError}, or StartError. */
export function readConfig(given: GivenConfig, env: Environment): Config {
  return configFrom(findSetting(given, env), env);
}

/** As {@link readConfig}, of settings from wherever. */
export function configFrom(find: FindSetting, env: Environment): Config {
  const settings = new Settings(find);
  // Also what nothing else asks for, such as a port without a certificate: what is wrong is told at once.
  for (const { name } of SETTINGS) settings.value(name);
  const mode = settings.word("mode", MODES);
  const cache = settings.word("cache", CACHES);
  const upstreamUrl = readUpstreamUrl(env["STATSIG_ENDPOINT"]);
  const maxKeys = settings.integer("maximum-concurrent-sdk-keys");
  const maxStreams = settings.integer("grpc-max-concurrent-streams");
  const preloadSdkKeys = readPreload(settings, maxKeys);
  return {
    mode,
    cache,
    bindAddress: settings.text("bind-address"),
    httpPort: settings.integer("http-port"),
    grpcPort: settings.integer("grpc-port"),
    maxKeys,
    pollIntervalMs: settings.integer("polling-interval-in-s") * 1_000,
    maxPayloadBytes: settings.integer("max-payload-in-mb") * 1024 * 1024,
    maxRequestsInFlight: settings.integer("update-batch-size"),
    maxStreams,
    clearOnUnauthorized: settings.flag("clear-datastore-on-unauthorized"),
    local: {
      path: settings.text("local-cache-path") || defaultLocalCachePath(env),
      maxBytes: settings.integer("local-cache-max-in-mb") * 1024 * 1024,
    },
    idLists: readIdLists(settings, env),
    redis: readRedis(settings, env, cache),
    events: readEvents(settings, env),
    preloadSdkKeys,
    tls: readTls(settings, env),
    access: readAccess(settings, preloadSdkKeys),
    limits: readLimits(settings, maxStreams),
    management: readManagement(settings),
    shutdownGraceMs: settings.integer("shutdown-grace-in-s") * 1_000,
    logging: readLogging(settings),
    monitoring: readMonitoring(settings, env),
    serviceManager: readServiceManager(env),
    upstreamUrl,
    upstreamProxied: isProxied(upstreamUrl, env),
    hostname: /^[!-~]+$/.test(env["HOSTNAME"] ?? "") ? String(env["HOSTNAME"]) : "no_hostname_set",
  };
}

function readIdLists(settings: Settings, env: Environment): IdListConfig {
  const upstreamUrl = readUpstreamUrl(env["STATSIG_ENDPOINT"], DEFAULT_ID_LISTS_URL);
  const publicUrl = settings.text("public-url");
  if (publicUrl !== "" && !isHttpUrl(publicUrl)) {
    const shown = settings.shown("public-url");
    throw new ConfigError(`${shown} is "${publicUrl}", allowed is an http:// or https:// URL`);
  }
  return {
    upstreamUrl,
    upstreamProxied: isProxied(upstreamUrl, env),
    proxied: settings.flag("proxy-id-lists"),
    publicUrl: publicUrl.replace(/\/+$/, "") || undefined,
    maxBytes: settings.integer("id-lists-max-in-mb") * 1024 * 1024,
    maxDownloads: settings.integer("id-list-downloads"),
  };
}

/** Throws {@link ConfigError}. */
export function readManagement(settings: Settings): Config["management"] {
  const port = settings.integer("management-port");
  const bindAddress = settings.text("management-address") || settings.text("bind-address");
  return port === 0 ? undefined : { bindAddress, port };
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

function readUpstreamUrl(given: string | undefined, otherwise = DEFAULT_UPSTREAM_URL): string {
  if (!given) return otherwise;
  if (isHttpUrl(given)) return given;
  throw new ConfigError(`STATSIG_ENDPOINT is "${given}", allowed is an http:// or https:// URL`);
}

/** From the variables that sd_notify(3) names; undefined where nobody wants to hear. Throws {@link ConfigError}. */
function readServiceManager(env: Environment, pid = process.pid): ServiceManagerConfig | undefined {
  const socket = env["NOTIFY_SOCKET"];
  if (!socket) return undefined;
  const fits = Buffer.byteLength(socket) <= maxSocketPathBytes(process.platform);
  if (!fits || !/^[/@]./.test(socket)) {
    throw new ConfigError(
      `NOTIFY_SOCKET is "${socket}", allowed is the path of a Unix datagram socket, or @ and a name`,
    );
  }
  return { socket, watchdogMs: readWatchdog(env, pid) };
}

/** Where a shell stands between, it is its watchdog and not ours. */
function readWatchdog(env: Environment, pid: number): number | undefined {
  const micros = env["WATCHDOG_USEC"];
  const of = env["WATCHDOG_PID"];
  if (!micros || (of && of !== String(pid))) return undefined;
  const value = /^\d{1,15}$/.test(micros) ? Number(micros) : 0;
  if (value > 0) return value / 1_000;
  throw new ConfigError(`WATCHDOG_USEC is "${micros}", allowed is a whole number of microseconds`);
}
