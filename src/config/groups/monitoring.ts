import { isIP } from "node:net";
import { parseSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import { maxSocketPathBytes } from "../../platform/libc.ts";
import type { OtlpMetricsOptions, OtlpTracesOptions } from "../../telemetry/otlp/options.ts";
import { PUSH_TAG_FORMATS, type PushTagFormat } from "../../telemetry/push/original-tags.ts";
import type { StatsdOptions, StatsdPlace } from "../../telemetry/push/statsd.ts";
import type { StatsigSinkOptions } from "../../telemetry/push/statsig.ts";
import type { OptionGroup, VariableSpec } from "../option.ts";
import {
  ConfigError,
  type Environment,
  invalidSecret,
  invalidValue,
  readWholeNumberVariable,
  type Settings,
} from "../settings.ts";
import { OTLP, readOtlpMetrics, readOtlpTraces } from "./otlp.ts";
import { SPECS } from "./specs.ts";

/** Metrics, traces and readiness: everything that operators monitor, except logs. */
export interface MonitoringConfig {
  /** Maximum series per metric. */
  readonly maxSeries: number;
  /** `EVENT_CHANNEL_SIZE`: maximum measurements queued for `--statsig-logging`. */
  readonly channelSize: number;
  /** `DATADOG_MAX_BATCH_TIME_MS`: how often measurements are sent. */
  readonly pushIntervalMs: number;
  /** `--push-tag-format`: how pushed metrics write the tag accept-encoding. */
  readonly pushTagFormat: PushTagFormat;
  /** How often the gauge ConfigSpecCurrentLcut is read. Undefined if it is off. */
  readonly currentLcutIntervalMs: number | undefined;
  /** Age of preloaded feeds beyond which the relay is not ready. Undefined if the age does not matter. */
  readonly maxStalenessMs: number | undefined;
  /** StatsD or Datadog's agent. Undefined if metrics are sent to neither. */
  readonly statsd: StatsdConfig | undefined;
  /** `--statsig-logging`; undefined if it is off. */
  readonly statsig: StatsigLoggingConfig | undefined;
  /** `--otlp-logging`; undefined if it is off. */
  readonly otlpMetrics: OtlpMetricsOptions | undefined;
  /** `--otlp-tracing`; undefined if it is off. */
  readonly otlpTraces: OtlpTracesOptions | undefined;
}

const DEFAULT_CHANNEL_SIZE = 100_000;
const DEFAULT_STATSD_CHANNEL_SIZE = 50_000;
const DEFAULT_PUSH_INTERVAL_MS = 10_000;

/** Throws {@link ConfigError}. */
export function readMonitoring(settings: Settings, env: Environment): MonitoringConfig {
  return {
    maxSeries: settings.integer(MONITORING.metricsMaxSeries),
    channelSize: readWholeNumberVariable(env, "EVENT_CHANNEL_SIZE", {
      otherwise: DEFAULT_CHANNEL_SIZE,
      min: 1,
    }),
    pushIntervalMs: readWholeNumberVariable(env, "DATADOG_MAX_BATCH_TIME_MS", {
      otherwise: DEFAULT_PUSH_INTERVAL_MS,
      min: 100,
    }),
    pushTagFormat: readPushTagFormat(settings),
    currentLcutIntervalMs:
      settings.integer(MONITORING.configSpecCurrentLcutSamplingIntervalInS) * 1_000 || undefined,
    maxStalenessMs: readMaxStaleness(settings),
    statsd: readStatsd(settings, env),
    statsig: readStatsigLogging(settings, env),
    otlpMetrics: readOtlpMetrics(settings, env),
    otlpTraces: readOtlpTraces(settings, env),
  };
}

function readPushTagFormat(settings: Settings): PushTagFormat {
  const given = settings.text(MONITORING.pushTagFormat);
  return PUSH_TAG_FORMATS.find((format) => format === given) ?? "4.1";
}

/** A limit below the polling interval would make the relay unready between any two polls. */
function readMaxStaleness(settings: Settings): number | undefined {
  const maxS = settings.integer(MONITORING.maxStalenessInS);
  if (maxS === 0) return undefined;
  const intervalS = settings.integer(SPECS.pollingIntervalInS);
  if (maxS > intervalS) return maxS * 1_000;
  const shown = settings.shown(MONITORING.maxStalenessInS);
  throw invalidValue(shown, String(maxS), `0, or more than --polling-interval-in-s, which is ${intervalS}`);
}

interface StatsdConfig extends StatsdOptions {
  /** `DATADOG_SENDER_BUFFER_SIZE`: maximum measurements queued. */
  readonly channelSize: number;
}

/** The largest payload of a UDP datagram. */
const MAX_DATAGRAM_BYTES = 65_507;

/** Returns undefined if metrics go to neither. Throws {@link ConfigError}. */
function readStatsd(settings: Settings, env: Environment): StatsdConfig | undefined {
  const toDatadog = settings.flag(MONITORING.datadogLogging);
  if (!toDatadog && !settings.flag(MONITORING.statsdLogging)) return undefined;
  // A variable of the original proxy without effect here. A wrong value still stops the start.
  readWholeNumberVariable(env, "DOGSTATSD_MAX_TIME_MS", { otherwise: 30_000, min: 1 });
  return {
    // Both have the same address: measurements that were sent to both would be counted twice.
    sink: toDatadog ? "datadog" : "statsd",
    place: readPlace(env),
    tags: readStatsdTags(env),
    channelSize: readWholeNumberVariable(env, "DATADOG_SENDER_BUFFER_SIZE", {
      otherwise: DEFAULT_STATSD_CHANNEL_SIZE,
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
  if (path) return { kind: "unix", path: checkSocketPath(path) };
  const host = env["STATSD_HOST_OVERRIDE"] || "127.0.0.1";
  if (isIP(host) === 0 && !/^[\w.-]+$/.test(host))
    throw invalidValue("STATSD_HOST_OVERRIDE", host, "a host name or an IP address");
  return {
    kind: "udp",
    host,
    port: readWholeNumberVariable(env, "STATSD_PORT_OVERRIDE", { otherwise: 8125, min: 1, max: 65_535 }),
  };
}

function checkSocketPath(path: string): string {
  const max = maxSocketPathBytes(process.platform);
  if (Buffer.byteLength(path) <= max && !/^\w+:\/\//.test(path)) return path;
  const expected =
    max === 0 ? "no value on this system" : `the path of a datagram socket, at most ${max} bytes`;
  throw invalidValue("STATSD_SOCKET", path, expected);
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

interface StatsigLoggingConfig extends Omit<StatsigSinkOptions, "baseUrl"> {
  readonly sdkKey: SdkKey;
}

/** Returns undefined if `--statsig-logging` is off. Throws {@link ConfigError}. */
function readStatsigLogging(settings: Settings, env: Environment): StatsigLoggingConfig | undefined {
  const customIds = readStatsigTags(settings, env);
  if (!settings.flag(MONITORING.statsigLogging)) return undefined;
  const shown = settings.shown(MONITORING.statsigLogging);
  return {
    sdkKey: readStatsigKey(shown, env),
    userId: env["HOSTNAME"] || "statsig-forward-proxy",
    customIds,
  };
}

function readStatsigKey(shown: string, env: Environment): SdkKey {
  const given = env["STATSIG_SERVER_SDK_KEY"];
  if (!given) {
    throw new ConfigError(
      `${shown} requires STATSIG_SERVER_SDK_KEY, the server SDK key of the project that receives the metrics`,
    );
  }
  const sdkKey = parseServerSdkKey(given);
  if (sdkKey !== undefined) return sdkKey;
  const expected = 'a server SDK key: "secret-" followed by letters, digits, "-", "_", "." and ":"';
  throw invalidSecret("STATSIG_SERVER_SDK_KEY", expected);
}

/** Returns undefined if the text is not the key of a server SDK. */
export function parseServerSdkKey(text: string): SdkKey | undefined {
  const sdkKey = parseSdkKey(text);
  return sdkKey?.startsWith("secret-") ? sdkKey : undefined;
}

/**
 * Returns the custom IDs of the user that events are logged and gates evaluated for: by default the name of this machine, as the original proxy sends it.
 * A tag is a name and, after the first colon, the variable that holds its value.
 */
export function readStatsigTags(settings: Settings, env: Environment): Readonly<Record<string, string>> {
  const option = MONITORING.statsigLoggingTags;
  if (!settings.isGiven(option)) return { podID: env["HOSTNAME"] || "no_hostname_provided" };
  const text = settings.text(option);
  const tags = text.split(",").map((tag) => /^([^:]*):(.*)$/su.exec(tag.trim()));
  const known = tags.filter((tag) => tag !== null);
  if (known.length < tags.length) {
    throw invalidValue(settings.shown(option), text, "a comma-separated list of NAME:VARIABLE");
  }
  return Object.fromEntries(known.map(([, name = "", variable = ""]) => [name, env[variable] ?? "empty"]));
}

/** The options of monitoring, in the order of `--help`. */
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
      "Report not ready if upstream has not confirmed most preloaded keys for this many seconds; 0 disables it",
  },
  statsdLogging: {
    name: "statsd-logging",
    kind: "flag",
    description: "Send metrics to StatsD at 127.0.0.1:8125, STATSD_SOCKET or STATSD_…_OVERRIDE",
  },
  datadogLogging: {
    name: "datadog-logging",
    kind: "flag",
    description:
      "Send metrics to Datadog's agent, with latencies as distributions; replaces --statsd-logging",
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
    isRepeatable: true,
    placeholder: "NAME:VARIABLE,...",
    description:
      "Custom IDs of each event of --statsig-logging, comma-separated: a name and the environment variable that holds the value (Default: podID:HOSTNAME)",
  },
  pushTagFormat: {
    name: "push-tag-format",
    kind: "text",
    words: PUSH_TAG_FORMATS,
    default: "4.1",
    placeholder: "VERSION",
    description:
      "Version of the original proxy whose form the tag accept-encoding has in StatsD, Datadog and Statsig: 4.1 as [Gzip, Brotli], 4.4 as gzip+br",
  },
  configSpecCurrentLcutSamplingIntervalInS: {
    name: "config-spec-current-lcut-sampling-interval-in-s",
    kind: "integer",
    default: "60",
    min: 0,
    max: 86_400,
    original: "u64",
    placeholder: "SECONDS",
    description: "Interval of reading the metric ConfigSpecCurrentLcut in seconds; 0 disables it",
  },
  ...OTLP,
  metricsMaxSeries: {
    name: "metrics-max-series",
    kind: "integer",
    default: "1000",
    min: 300,
    max: 1_000_000,
    placeholder: "N",
    description: "Maximum series per metric; further label values are counted as other",
  },
} as const satisfies OptionGroup;

/** The variables of StatsD, Datadog and Statsig as destinations of metrics. */
export const METRIC_VARIABLES: readonly VariableSpec[] = [
  {
    name: "EVENT_CHANNEL_SIZE",
    default: "100000",
    description: "Maximum measurements queued for --statsig-logging",
  },
  {
    name: "DATADOG_MAX_BATCH_TIME_MS",
    default: "10000",
    description: "Interval of sending measurements in milliseconds",
  },
  { name: "STATSD_HOST_OVERRIDE", default: "127.0.0.1", description: "Host of StatsD or Datadog's agent" },
  { name: "STATSD_PORT_OVERRIDE", default: "8125", description: "UDP port of StatsD or Datadog's agent" },
  {
    name: "STATSD_SOCKET",
    description: "Unix datagram socket of StatsD or Datadog's agent, instead of host and port",
  },
  {
    name: "DATADOG_SENDER_BUFFER_SIZE",
    default: "50000",
    description: "Maximum measurements queued for StatsD or Datadog's agent",
  },
  {
    name: "DATADOG_MAX_BATCH_EVENT_COUNT",
    default: "3000",
    description: "Lines sent to StatsD before other work of the relay gets a turn",
  },
  {
    name: "DOGSTATSD_MAX_BUFFER_SIZE",
    default: "8000",
    description: "Maximum size of a StatsD datagram in bytes",
  },
  {
    name: "DOGSTATSD_MAX_TIME_MS",
    default: "30000",
    hasNoEffect: true,
    description: "No effect: the end of each batch sends all lines. An invalid value still stops the start",
  },
  {
    name: "DOGSTATSD_MAX_RETRY_ATTEMPT",
    default: "3",
    description: "Retries of a datagram before its batch is dropped",
  },
  {
    name: "DOGSTATSD_INITIAL_RETRY_DELAY",
    default: "10",
    description: "Delay of the first retry in milliseconds, doubled for each further one",
  },
  { name: "DD_ENV", description: "Tag env of every StatsD line" },
  { name: "DD_SERVICE", description: "Tag service of every StatsD line" },
  { name: "DD_VERSION", description: "Tag version of every StatsD line, and label of profiles" },
  {
    name: "STATSIG_SERVER_SDK_KEY",
    isSecret: true,
    description:
      "Server SDK key of the project to which --statsig-logging sends metrics, and whose gate enable_gcp_profiler_for_sfp turns Google Cloud Profiler on and off",
  },
];
