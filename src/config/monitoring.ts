import { isIP } from "node:net";
import { parseSdkKey } from "../access/sdk-key.ts";
import { maxSocketPathBytes } from "../platform/libc.ts";
import type { OtlpMetricsOptions, OtlpTracesOptions } from "../telemetry/otlp/options.ts";
import type { StatsdOptions, StatsdPlace } from "../telemetry/push/statsd.ts";
import type { StatsigSinkOptions } from "../telemetry/push/statsig.ts";
import type { OptionGroup, VariableSpec } from "./option.ts";
import { readOtlpMetrics, readOtlpTraces } from "./otlp.ts";
import { ConfigError, type Environment, readWholeNumberVariable, type Settings } from "./settings.ts";
import { SPECS } from "./specs.ts";

/** How operators are told what the relay does, but for logs. */
export interface MonitoringConfig {
  /** Of one metric, whatever is measured. */
  readonly maxSeries: number;
  /** `EVENT_CHANNEL_SIZE`: measurements that may wait for each place that they are sent to. */
  readonly channelSize: number;
  /** `DATADOG_MAX_BATCH_TIME_MS`: how often measurements are sent. */
  readonly pushIntervalMs: number;
  /** Of preloaded feeds, for ready; undefined where it does not matter. */
  readonly maxStalenessMs: number | undefined;
  /** StatsD, or Datadog's agent; undefined where neither is sent anything. */
  readonly statsd: StatsdConfig | undefined;
  /** `--statsig-logging`; undefined where it is off. */
  readonly statsig: StatsigLoggingConfig | undefined;
  /** `--otlp-logging`; undefined where it is off. */
  readonly otlpMetrics: OtlpMetricsOptions | undefined;
  /** `--otlp-tracing`; undefined where it is off. */
  readonly otlpTraces: OtlpTracesOptions | undefined;
}

const DEFAULT_CHANNEL_SIZE = 50_000;
const DEFAULT_PUSH_INTERVAL_MS = 10_000;

/** Throws ConfigError. */
export function readMonitoring(settings: Settings, env: Environment): MonitoringConfig {
  const channelSize = readWholeNumberVariable(env, "EVENT_CHANNEL_SIZE", {
    otherwise: DEFAULT_CHANNEL_SIZE,
    min: 1,
  });
  return {
    maxSeries: settings.integer(MONITORING.metricsMaxSeries),
    channelSize,
    pushIntervalMs: readWholeNumberVariable(env, "DATADOG_MAX_BATCH_TIME_MS", {
      otherwise: DEFAULT_PUSH_INTERVAL_MS,
      min: 100,
    }),
    maxStalenessMs: readMaxStaleness(settings),
    statsd: readStatsd(settings, env, channelSize),
    statsig: readStatsigLogging(settings, env),
    otlpMetrics: readOtlpMetrics(settings, env),
    otlpTraces: readOtlpTraces(settings, env),
  };
}

/** Less than a poll takes to come round could never be kept. */
function readMaxStaleness(settings: Settings): number | undefined {
  const maxS = settings.integer(MONITORING.maxStalenessInS);
  if (maxS === 0) return undefined;
  const intervalS = settings.integer(SPECS.pollingIntervalInS);
  if (maxS > intervalS) return maxS * 1_000;
  const shown = settings.shown(MONITORING.maxStalenessInS);
  throw new ConfigError(
    `${shown} is "${maxS}", allowed is 0 for none, or more than --polling-interval-in-s, which is ${intervalS}`,
  );
}

/** The options of what operators look at, in the order of `--help`. */
export const MONITORING = {
  maxStalenessInS: {
    name: "max-staleness-in-s",
    kind: "integer",
    default: "0",
    min: 0,
    max: 31_536_000,
    placeholder: "SECONDS",
    isReloadable: true,
    description:
      "Not ready while upstream has not confirmed what is held of most preloaded keys for so long; 0 for off",
  },
  statsdLogging: {
    name: "statsd-logging",
    kind: "flag",
    description: "Send metrics to StatsD on 127.0.0.1:8125, or where STATSD_SOCKET and STATSD_…_OVERRIDE say",
  },
  datadogLogging: {
    name: "datadog-logging",
    kind: "flag",
    description:
      "The same for Datadog's agent, with latencies as distributions; given both, nothing is sent twice",
  },
  statsigLogging: {
    name: "statsig-logging",
    kind: "flag",
    description: "Send metrics as events to the Statsig project of STATSIG_SERVER_SDK_KEY",
  },
  statsigLoggingTags: {
    name: "statsig-logging-tags",
    kind: "text",
    isList: true,
    placeholder: "NAME:VALUE,...",
    description: "Metadata of each of these events",
  },
  otlpLogging: {
    name: "otlp-logging",
    kind: "flag",
    description: "Send metrics by OTLP, to where the OTEL_EXPORTER_OTLP_… variables say",
  },
  otlpTracing: {
    name: "otlp-tracing",
    kind: "flag",
    description: "Send traces by OTLP: polls, first requests for a key, backup, events",
  },
  metricsMaxSeries: {
    name: "metrics-max-series",
    kind: "integer",
    default: "1000",
    min: 300,
    max: 1_000_000,
    placeholder: "N",
    description: "Series of one metric; what is beyond counts as other",
  },
} as const satisfies OptionGroup;

interface StatsdConfig extends StatsdOptions {
  /** `DATADOG_SENDER_BUFFER_SIZE`: in the place of `EVENT_CHANNEL_SIZE`. */
  readonly channelSize: number;
}

/** What a UDP datagram can hold. */
const MAX_DATAGRAM_BYTES = 65_507;

/** Undefined where neither is wanted. Throws ConfigError. */
function readStatsd(settings: Settings, env: Environment, channelSize: number): StatsdConfig | undefined {
  const toDatadog = settings.flag(MONITORING.datadogLogging);
  if (!toDatadog && !settings.flag(MONITORING.statsdLogging)) return undefined;
  // A variable of the original proxy without effect here. A wrong value still stops the start.
  readWholeNumberVariable(env, "DOGSTATSD_MAX_TIME_MS", { otherwise: 30_000, min: 1 });
  return {
    // Both have one address: sent twice, everything would count twice.
    sink: toDatadog ? "datadog" : "statsd",
    place: readPlace(env),
    tags: readStatsdTags(env),
    channelSize: readWholeNumberVariable(env, "DATADOG_SENDER_BUFFER_SIZE", {
      otherwise: channelSize,
      min: 1,
    }),
    maxLinesAtOnce: readWholeNumberVariable(env, "DATADOG_MAX_BATCH_EVENT_COUNT", {
      otherwise: 3_000,
      min: 1,
      max: 100_000,
    }),
    maxDatagramBytes: readWholeNumberVariable(env, "DOGSTATSD_MAX_BUFFER_SIZE", {
      otherwise: 8_000,
      min: 512,
      max: MAX_DATAGRAM_BYTES,
    }),
    maxRetries: readWholeNumberVariable(env, "DOGSTATSD_MAX_RETRY_ATTEMPT", {
      otherwise: 3,
      min: 0,
      max: 20,
    }),
    retryDelayMs: readWholeNumberVariable(env, "DOGSTATSD_INITIAL_RETRY_DELAY", {
      otherwise: 10,
      min: 0,
      max: 60_000,
    }),
  };
}

function readPlace(env: Environment): StatsdPlace {
  const path = env["STATSD_SOCKET"];
  if (path) return { kind: "unix", path: checkedPath(path) };
  const host = env["STATSD_HOST_OVERRIDE"] || "127.0.0.1";
  if (isIP(host) === 0 && !/^[\w.-]+$/.test(host))
    throw new ConfigError(`STATSD_HOST_OVERRIDE is "${host}", allowed is a host name or an IP address`);
  return {
    kind: "udp",
    host,
    port: readWholeNumberVariable(env, "STATSD_PORT_OVERRIDE", { otherwise: 8125, min: 1, max: 65_535 }),
  };
}

function checkedPath(path: string): string {
  const max = maxSocketPathBytes(process.platform);
  if (Buffer.byteLength(path) <= max && !/^\w+:\/\//.test(path)) return path;
  const allowed =
    max === 0 ? "nothing on this system" : `the path of a datagram socket, at most ${max} bytes`;
  throw new ConfigError(`STATSD_SOCKET is "${path}", allowed is ${allowed}`);
}

function readStatsdTags(env: Environment): Readonly<Record<string, string>> {
  const tags = {
    version: env["DD_VERSION"],
    env: env["DD_ENV"],
    service: env["DD_SERVICE"],
    pod_name: env["HOSTNAME"] || "localhost",
  };
  return Object.fromEntries(Object.entries(tags).flatMap(([tag, value]) => (value ? [[tag, value]] : [])));
}

type StatsigLoggingConfig = Omit<StatsigSinkOptions, "baseUrl">;

const MAX_TAGS = 20;

/** Statsig cuts off what is longer. */
const TAG = /^([\w.-]{1,64}):([^\p{Cc}:][^\p{Cc}]{0,127})$/u;

/** Undefined where it is not wanted. Throws ConfigError. */
function readStatsigLogging(settings: Settings, env: Environment): StatsigLoggingConfig | undefined {
  const tags = readEventTags(settings);
  if (!settings.flag(MONITORING.statsigLogging)) return undefined;
  const shown = settings.shown(MONITORING.statsigLogging);
  return { sdkKey: readKey(shown, env), userId: env["HOSTNAME"] || "statsig-forward-proxy", tags };
}

function readKey(shown: string, env: Environment): string {
  const given = env["STATSIG_SERVER_SDK_KEY"];
  if (!given) {
    throw new ConfigError(
      `${shown} needs STATSIG_SERVER_SDK_KEY, the server SDK key of the project that gets the metrics`,
    );
  }
  const sdkKey = parseSdkKey(given);
  if (sdkKey?.startsWith("secret-")) return sdkKey;
  // It may be a secret all the same.
  const allowed = 'one that begins with "secret-", of letters, digits, "-" and "_"';
  throw new ConfigError(
    `STATSIG_SERVER_SDK_KEY is no server SDK key (not shown here), allowed is ${allowed}`,
  );
}

function readEventTags(settings: Settings): Readonly<Record<string, string>> {
  const found = settings.texts(MONITORING.statsigLoggingTags).map((text) => TAG.exec(text));
  const tags = found.flatMap((tag) => (tag === null ? [] : [[tag[1] ?? "", tag[2] ?? ""] as const]));
  const names = new Set(tags.map(([name]) => name));
  if (tags.length === found.length && names.size === tags.length && tags.length <= MAX_TAGS) {
    return Object.fromEntries(tags);
  }
  throw new ConfigError(
    `${settings.shown(MONITORING.statsigLoggingTags)} is "${settings.text(MONITORING.statsigLoggingTags)}", allowed is a comma list of name:value, at most ${MAX_TAGS}, each name once`,
  );
}

/** Where metrics go, and how: but for OTLP. */
export const METRIC_VARIABLES: readonly VariableSpec[] = [
  {
    name: "EVENT_CHANNEL_SIZE",
    default: "50000",
    description: "Measurements that may wait for each place that they are sent to",
  },
  {
    name: "DATADOG_MAX_BATCH_TIME_MS",
    default: "10000",
    description: "How often measurements are sent",
  },
  { name: "STATSD_HOST_OVERRIDE", default: "127.0.0.1", description: "Where StatsD or Datadog's agent is" },
  { name: "STATSD_PORT_OVERRIDE", default: "8125", description: "Its UDP port" },
  { name: "STATSD_SOCKET", description: "Its Unix datagram socket, in the place of host and port" },
  {
    name: "DATADOG_SENDER_BUFFER_SIZE",
    default: "that of EVENT_CHANNEL_SIZE",
    description: "Measurements that may wait for StatsD or Datadog's agent",
  },
  {
    name: "DATADOG_MAX_BATCH_EVENT_COUNT",
    default: "3000",
    description: "Lines that are handed over to StatsD at one time",
  },
  { name: "DOGSTATSD_MAX_BUFFER_SIZE", default: "8000", description: "Bytes of a datagram to StatsD" },
  {
    name: "DOGSTATSD_MAX_TIME_MS",
    default: "30000",
    description: "No effect: the end of each batch sends all lines. An invalid value still stops the start",
  },
  {
    name: "DOGSTATSD_MAX_RETRY_ATTEMPT",
    default: "3",
    description: "How often a datagram is tried again before its batch is given up",
  },
  {
    name: "DOGSTATSD_INITIAL_RETRY_DELAY",
    default: "10",
    description: "Milliseconds before that is done first, doubled each time",
  },
  { name: "DD_ENV", description: "The tag env of every line to StatsD" },
  { name: "DD_SERVICE", description: "The tag service of every line to StatsD" },
  { name: "DD_VERSION", description: "The tag version of every line to StatsD" },
  {
    name: "STATSIG_SERVER_SDK_KEY",
    isSecret: true,
    description: "Of the project that --statsig-logging sends metrics to",
  },
];
