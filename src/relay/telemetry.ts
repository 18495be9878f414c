import type { Config } from "../config/config.ts";
import type { Clock } from "../platform/clock.ts";
import { Supervisor } from "../platform/supervisor.ts";
import { preloadFeeds } from "../specs/feed.ts";
import type { Logger } from "../telemetry/logging/logger.ts";
import { formatPrometheus } from "../telemetry/metrics/prometheus.ts";
import { MetricRegistry } from "../telemetry/metrics/registry.ts";
import { KeyTags } from "../telemetry/metrics/tags.ts";
import type { OtlpMetricsOptions } from "../telemetry/otlp/options.ts";
import { SinkChannel, type SinkChannelOptions } from "../telemetry/push/channel.ts";
import { PushLoop } from "../telemetry/push/push-loop.ts";
import { countDropsIn, expectSink, type SinkParts } from "../telemetry/push/sink-health.ts";
import { RequestRates } from "../telemetry/status/rates.ts";
import { createTelemetry, type Telemetry } from "../telemetry/telemetry.ts";
import { type Tracing, UNTRACED } from "../telemetry/tracing/tracing.ts";
import { VERSION } from "../version.ts";

interface TelemetryParts {
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface RunningTelemetry extends Telemetry, AsyncDisposable {
  /** Runs background loops and tasks, and reports their unexpected errors. */
  readonly supervisor: Supervisor;
  readonly registry: MetricRegistry;
  /** Which SDK keys have series of their own. */
  readonly keys: KeyTags;
  /** Ms since the Unix epoch. */
  readonly startedAt: number;
  readonly rates: RequestRates;
  /** Returns all metrics in the text format of Prometheus. */
  readonly prometheus: () => Promise<string>;
}

/** Must be started before every component that emits events, and disposed of after them. */
export async function startTelemetry(
  config: Config,
  { logger, clock }: TelemetryParts,
): Promise<RunningTelemetry> {
  await using starting = new AsyncDisposableStack();
  const { maxSeries, statsd, statsig } = config.monitoring;
  const keepsSamples = statsd !== undefined || statsig !== undefined;
  const registry = new MetricRegistry({ maxSeries, keepsSamples });
  const keys = new KeyTags();
  const preload = preloadFeeds(config.preloadSdkKeys);
  const telemetry = createTelemetry({ logger, registry, keys, clock, preload });
  if (config.cache !== "disabled") telemetry.backup.expect(config.cache);
  const startedAt = clock.now();
  registry.gauge("StartTimestampS", () => [[{}, startedAt / 1_000]]);
  registry.gauge("MemoryRssBytes", () => [[{}, process.memoryUsage.rss()]]);
  const supervisor = new Supervisor({ clock, emit: telemetry.supervision.emit });
  const { sinks } = telemetry;
  await startSinks(config, { clock, supervisor, registry, sinks, running: starting });
  const rates = starting.use(new RequestRates(registry, clock, supervisor));
  const running = starting.move();
  return {
    ...telemetry,
    supervisor,
    registry,
    keys,
    startedAt,
    rates,
    prometheus: () => formatPrometheus(registry),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Starts the export of metrics to every sink that is configured. */
async function startSinks(config: Config, parts: SinkParts): Promise<void> {
  const { clock, supervisor, registry, sinks, running } = parts;
  const { pushIntervalMs: intervalMs, pushTagFormat: tagFormat, otlpMetrics } = config.monitoring;
  await startOtlp(otlpMetrics, parts);
  const opened = await openPushSinks(config, clock);
  if (opened.length === 0) return;
  const onDropped = countDropsIn(registry);
  const channels = opened.map(({ sink, size }) => {
    sinks.expect(sink.name);
    return new SinkChannel({ sink, size, clock, supervisor, emit: sinks.emit, onDropped });
  });
  running.use(new PushLoop({ registry, channels, clock, supervisor, intervalMs, tagFormat }));
}

type OpenedSink = Pick<SinkChannelOptions, "sink" | "size">;

/** Loads only the configured sinks: the others would slow down the start. */
async function openPushSinks({ monitoring, events }: Config, clock: Clock): Promise<readonly OpenedSink[]> {
  const { statsd, statsig, channelSize } = monitoring;
  const sinks: OpenedSink[] = [];
  if (statsd !== undefined) {
    const { StatsdSink } = await import("../telemetry/push/statsd.ts");
    sinks.push({ sink: new StatsdSink(statsd, clock), size: statsd.channelSize });
  }
  if (statsig !== undefined) {
    const { StatsigSink } = await import("../telemetry/push/statsig.ts");
    const sink = new StatsigSink({ ...statsig, baseUrl: events.upstreamUrl }, clock);
    sinks.push({ sink, size: channelSize });
  }
  return sinks;
}

/** Starts the OTLP export of metrics. OpenTelemetry is loaded only if it is configured. */
async function startOtlp(options: OtlpMetricsOptions | undefined, parts: SinkParts): Promise<void> {
  if (options === undefined) return;
  const { startOtlpMetrics } = await import("../telemetry/otlp/metrics.ts");
  const { otlpResource } = await import("../telemetry/otlp/export.ts");
  const health = expectSink("otlp", parts);
  const { registry, running } = parts;
  running.use(await startOtlpMetrics(options, { registry, resource: otlpResource(VERSION), health }));
}

/** Returns the decorators that trace the relay. Other components do not know about tracing. OpenTelemetry is loaded only if it is configured. */
export async function startTracing({ monitoring }: Config, parts: SinkParts): Promise<Tracing> {
  if (monitoring.otlpTraces === undefined) return UNTRACED;
  const { startOtlpTracing } = await import("../telemetry/tracing/otlp-tracing.ts");
  const { otlpResource } = await import("../telemetry/otlp/export.ts");
  const health = expectSink("otlp-traces", parts);
  const { clock, running } = parts;
  const resource = otlpResource(VERSION);
  return running.use(await startOtlpTracing(monitoring.otlpTraces, { clock, resource, health }));
}
