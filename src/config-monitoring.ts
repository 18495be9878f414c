import { readOtlpMetrics, readOtlpTraces } from "./config-otlp.ts";
import { readStatsd, type StatsdConfig } from "./config-statsd.ts";
import { readStatsigLogging, type StatsigLoggingConfig } from "./config-statsig-logging.ts";
import { readWhole } from "./read-whole.ts";
import { ConfigError, type Environment, type Settings } from "./settings.ts";
import type { OtlpMetricsOptions, OtlpTracesOptions } from "./telemetry/otlp/otlp-options.ts";

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
  const channelSize = readWhole(env, "EVENT_CHANNEL_SIZE", { otherwise: DEFAULT_CHANNEL_SIZE, min: 1 });
  return {
    maxSeries: settings.integer("metrics-max-series"),
    channelSize,
    pushIntervalMs: readWhole(env, "DATADOG_MAX_BATCH_TIME_MS", {
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
  const maxS = settings.integer("max-staleness-in-s");
  if (maxS === 0) return undefined;
  const intervalS = settings.integer("polling-interval-in-s");
  if (maxS > intervalS) return maxS * 1_000;
  const shown = settings.shown("max-staleness-in-s");
  throw new ConfigError(
    `${shown} is "${maxS}", allowed is 0 for none, or more than --polling-interval-in-s, which is ${intervalS}`,
  );
}
