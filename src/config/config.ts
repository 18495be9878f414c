import { maxSocketPathBytes } from "../platform/libc.ts";
import { defaultLocalCachePath } from "../sqlite/path.ts";
import type { ServiceManagerConfig } from "../telemetry/systemd.ts";
import { type AccessConfig, readAccess } from "./groups/access.ts";
import { type BootstrapConfig, readBootstrap } from "./groups/bootstrap.ts";
import { CACHE, type RedisCacheConfig, readRedis } from "./groups/cache.ts";
import { type IdListConfig, readIdLists } from "./groups/id-lists.ts";
import { type LimitsConfig, readLimits } from "./groups/limits.ts";
import {
  LISTENERS,
  type ListenerConfig,
  type ManagementConfig,
  readListeners,
  readManagement,
  readServingThreads,
  type ServingThreadsSetting,
} from "./groups/listeners.ts";
import { type EventsConfig, readEvents } from "./groups/log-events.ts";
import { type LoggingConfig, readLogging } from "./groups/logging.ts";
import { type MonitoringConfig, readMonitoring } from "./groups/monitoring.ts";
import { checkPortsDiffer } from "./groups/ports.ts";
import { type ProfilingConfig, readProfiling } from "./groups/profiling.ts";
import { readSpecs, type SpecsConfig } from "./groups/specs.ts";
import { readTls, type TlsConfig } from "./groups/tls.ts";
import { CACHE_KIND, type Cache, MODE, type Mode } from "./option.ts";
import { findSetting, SETTINGS } from "./options.ts";
import { type Environment, type FindSetting, type GivenConfig, invalidValue, Settings } from "./settings.ts";

/** The effective configuration, read once at start and again on each reload. */
export interface Config extends SpecsConfig {
  readonly mode: Mode;
  readonly cache: Cache;
  readonly local: LocalCacheConfig;
  /** Whether the backup keeps the JSON of protobuf feeds. False without a backup. */
  readonly jsonWithProtobuf: boolean;
  readonly bootstrap: BootstrapConfig;
  readonly idLists: IdListConfig;
  readonly redis: RedisCacheConfig;
  readonly events: EventsConfig;
  /** Undefined if no port uses TLS. */
  readonly tls: TlsConfig | undefined;
  readonly access: AccessConfig;
  readonly limits: LimitsConfig;
  /** The ports for clients. */
  readonly listeners: readonly ListenerConfig[];
  readonly servingThreads: ServingThreadsSetting;
  /** Undefined if the management port is turned off. */
  readonly management: ManagementConfig | undefined;
  readonly shutdownDelayMs: number;
  readonly shutdownGraceMs: number;
  readonly logging: LoggingConfig;
  readonly monitoring: MonitoringConfig;
  readonly profiling: ProfilingConfig;
  /** Undefined if no service manager asked for notifications. */
  readonly serviceManager: ServiceManagerConfig | undefined;
  /** `HOSTNAME` if it is valid in a header; sent to streaming clients. */
  readonly hostname: string;
}

interface LocalCacheConfig {
  /** The folder of the local backup. */
  readonly path: string;
  readonly maxBytes: number;
}

/** What offline mode serves unless something else is given. */
const OFFLINE_MODE = "grpc-and-http";
const OFFLINE_CACHE = "disabled";

/** Throws ConfigError or StartError. */
export function readConfig(given: GivenConfig, env: Environment): Config {
  return configFrom(findSetting(given, env), env);
}

/** Like {@link readConfig}, with settings from any source. */
export function configFrom(find: FindSetting, env: Environment): Config {
  const settings = new Settings(find);
  // Values that nothing below reads, such as the port of a listener that is turned off, are validated as well.
  for (const option of SETTINGS) settings.value(option);
  const bootstrap = readBootstrap(settings);
  const { offline } = bootstrap;
  const mode = offline && !settings.isGiven(MODE) ? OFFLINE_MODE : settings.word(MODE);
  const cache = offline && !settings.isGiven(CACHE_KIND) ? OFFLINE_CACHE : settings.word(CACHE_KIND);
  const specs = readSpecs(settings, env);
  // These come before TLS, so that an invalid value is reported before a TLS option that lacks another one.
  const idLists = readIdLists(settings, env);
  const redis = readRedis(settings, env, cache);
  const events = readEvents(settings, env, bootstrap);
  const tls = readTls(settings, env);
  const listeners = readListeners(settings, mode, tls);
  const management = readManagement(settings, env);
  const managed = management && { ...management, option: LISTENERS.managementPort.name };
  checkPortsDiffer([...listeners, ...(managed ? [managed] : [])], (name) => shownOf(settings, name));
  const monitoring = readMonitoring(settings, env);
  return {
    mode,
    cache,
    ...specs,
    local: {
      path: settings.text(CACHE.localCachePath) || defaultLocalCachePath(env),
      maxBytes: settings.integer(CACHE.localCacheMaxInMb) * 1024 * 1024,
    },
    jsonWithProtobuf: cache !== "disabled" && settings.flag(CACHE.jsonWithProtobuf),
    bootstrap,
    idLists,
    redis,
    events,
    tls,
    access: readAccess(settings, specs.preloadSdkKeys),
    limits: readLimits(settings, specs.maxStreams),
    listeners,
    servingThreads: readServingThreads(settings),
    management,
    shutdownDelayMs: settings.integer(LISTENERS.shutdownDelayInS) * 1_000,
    shutdownGraceMs: settings.integer(LISTENERS.shutdownGraceInS) * 1_000,
    logging: readLogging(settings),
    monitoring: offline ? toOffline(monitoring, events) : monitoring,
    profiling: readProfiling(settings, env),
    serviceManager: readServiceManager(env),
    hostname: /^[!-~]+$/.test(env["HOSTNAME"] ?? "") ? String(env["HOSTNAME"]) : "no_hostname_set",
  };
}

/** Returns an option as the user wrote it. */
function shownOf(settings: Settings, name: string): string {
  const option = SETTINGS.find((each) => each.name === name);
  return option === undefined ? name : settings.shown(option);
}

/** Nothing confirms what is in files, so that its age says nothing. Metrics are not sent to Statsig unless events are. */
function toOffline(monitoring: MonitoringConfig, { areDropped }: EventsConfig): MonitoringConfig {
  const { statsig, ...others } = monitoring;
  return { ...others, maxStalenessMs: undefined, statsig: areDropped ? undefined : statsig };
}

/** Reads the variables of sd_notify(3). Returns undefined if the service manager asked for no notifications. Throws ConfigError. */
function readServiceManager(env: Environment, pid = process.pid): ServiceManagerConfig | undefined {
  const socket = env["NOTIFY_SOCKET"];
  if (!socket) return undefined;
  const fits = Buffer.byteLength(socket) <= maxSocketPathBytes(process.platform);
  if (!fits || !/^[/@]./.test(socket)) {
    throw invalidValue("NOTIFY_SOCKET", socket, "the path of a Unix datagram socket, or @ and a name");
  }
  return { socket, watchdogMs: readWatchdog(env, pid) };
}

/** Returns undefined if the watchdog is for another process, such as a shell that started the relay. */
function readWatchdog(env: Environment, pid: number): number | undefined {
  const micros = env["WATCHDOG_USEC"];
  const watchedPid = env["WATCHDOG_PID"];
  if (!micros || (watchedPid && watchedPid !== String(pid))) return undefined;
  const value = /^\d{1,15}$/.test(micros) ? Number(micros) : 0;
  if (value > 0) return value / 1_000;
  throw invalidValue("WATCHDOG_USEC", micros, "a whole number of microseconds");
}
