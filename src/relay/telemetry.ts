import type { Config } from "../config/config.ts";
import type { RequestMeter } from "../http/meter.ts";
import type { Clock } from "../platform/clock.ts";
import { describeError } from "../platform/errors.ts";
import { Supervisor } from "../platform/supervisor.ts";
import { preloadFeeds } from "../specs/feed.ts";
import type { Logger } from "../telemetry/logging/logger.ts";
import { prometheusText } from "../telemetry/metrics/prometheus.ts";
import { MetricRegistry } from "../telemetry/metrics/registry.ts";
import { KeyTags } from "../telemetry/metrics/tags.ts";
import type { OtlpMetricsOptions } from "../telemetry/otlp/options.ts";
import { SinkChannel, type SinkChannelOptions } from "../telemetry/push/channel.ts";
import { PushLoop } from "../telemetry/push/push-loop.ts";
import { countDropsIn, expectSink, type SinkParts } from "../telemetry/push/sink-health.ts";
import { RequestRates } from "../telemetry/status/rates.ts";
import { EventLog, EventMetrics, type RelayEvent, StatusBoard } from "../telemetry/telemetry.ts";
import { RequestMetrics } from "../telemetry/topics/http.ts";
import type { SinkMetrics } from "../telemetry/topics/push.ts";
import { type Tracing, UNTRACED } from "../telemetry/tracing/tracing.ts";
import { VERSION } from "../version.ts";

interface TelemetryParts {
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Tells operators what the relay does. */
export interface RunningTelemetry extends AsyncDisposable {
  /** Never throws. */
  readonly emit: (event: RelayEvent) => void;
  /** Runs what nobody waits for, and reports what fails of it. */
  readonly supervisor: Supervisor;
  readonly registry: MetricRegistry;
  readonly requests: RequestMeter;
  /** Which SDK keys get series of their own. */
  readonly keys: KeyTags;
  /** Ms since the Unix epoch. */
  readonly startedAt: number;
  /** What is remembered for the status page. */
  readonly board: StatusBoard;
  readonly rates: RequestRates;
  /** Where metrics are sent to. */
  readonly sinks: SinkMetrics;
  /** Every metric, in the text format of Prometheus. */
  readonly prometheus: () => Promise<string>;
}

/** Started first and ended last: nothing happens that it does not hear of. */
export async function startTelemetry(
  config: Config,
  { logger, clock }: TelemetryParts,
): Promise<RunningTelemetry> {
  await using starting = new AsyncDisposableStack();
  const { maxSeries, statsd, statsig } = config.monitoring;
  const keepsSamples = statsd !== undefined || statsig !== undefined;
  const registry = new MetricRegistry({ maxSeries, keepsSamples });
  const keys = new KeyTags();
  const eventLog = new EventLog(logger, clock);
  const eventMetrics = new EventMetrics(registry, keys);
  if (config.cache !== "disabled") eventMetrics.backups.expect(config.cache);
  const startedAt = clock.now();
  registry.gauge("StartTimestampS", () => [[{}, startedAt / 1_000]]);
  registry.gauge("MemoryRssBytes", () => [[{}, process.memoryUsage.rss()]]);
  const board = new StatusBoard(clock, preloadFeeds(config.preloadSdkKeys));
  const emit = emitTo([eventLog, eventMetrics, board]);
  const supervisor = new Supervisor({ clock, emit });
  const metrics = eventMetrics.sinks;
  await startSinks(config, { clock, supervisor, emit, registry, metrics, running: starting });
  const rates = starting.use(new RequestRates(registry, clock, supervisor));
  const running = starting.move();
  return {
    emit,
    supervisor,
    registry,
    requests: new RequestMetrics(registry, keys),
    keys,
    startedAt,
    board,
    rates,
    sinks: metrics,
    prometheus: () => prometheusText(registry),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

interface Listener {
  write(event: RelayEvent): void;
}

/** A fault in one of the listeners is no reason that the others, or what is reported, should suffer. */
function emitTo(listeners: readonly Listener[]): (event: RelayEvent) => void {
  return (event) => {
    for (const listener of listeners) {
      const failed = tryWrite(listener, event);
      if (failed === undefined) continue;
      for (const other of listeners) if (other !== listener) tryWrite(other, failed);
    }
  };
}

/** Returns what there is to report where the listener throws. */
function tryWrite(listener: Listener, event: RelayEvent): RelayEvent | undefined {
  try {
    listener.write(event);
    return undefined;
  } catch (error) {
    return { kind: "task_failed", task: "telemetry", ...describeError(error) };
  }
}

/** Starts to send metrics to every place that the configuration names. */
async function startSinks(config: Config, parts: SinkParts): Promise<void> {
  const { clock, supervisor, emit, registry, metrics, running } = parts;
  const { pushIntervalMs: intervalMs, otlpMetrics } = config.monitoring;
  await startOtlp(otlpMetrics, parts);
  const sinks = await openPushSinks(config, clock);
  if (sinks.length === 0) return;
  const onDropped = countDropsIn(registry);
  const channels = sinks.map(({ sink, size }) => {
    metrics.expect(sink.name);
    return new SinkChannel({ sink, size, clock, supervisor, emit, onDropped });
  });
  running.use(new PushLoop({ registry, channels, clock, supervisor, intervalMs }));
}

type OpenedSink = Pick<SinkChannelOptions, "sink" | "size">;

/** Each is loaded only where it is wanted: none costs the others a start. */
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

/** Sends metrics by OpenTelemetry's protocol, which is loaded only where it is wanted. */
async function startOtlp(options: OtlpMetricsOptions | undefined, parts: SinkParts): Promise<void> {
  if (options === undefined) return;
  const { startOtlpMetrics } = await import("../telemetry/otlp/metrics.ts");
  const { otlpResource } = await import("../telemetry/otlp/export.ts");
  const health = expectSink("otlp", parts);
  const { registry, running } = parts;
  running.use(await startOtlpMetrics(options, { registry, resource: otlpResource(VERSION), health }));
}

/** What is traced is decided here alone: the rest of the relay does not know. Loaded only where it is wanted. */
export async function startTracing({ monitoring }: Config, parts: SinkParts): Promise<Tracing> {
  if (monitoring.otlpTraces === undefined) return UNTRACED;
  const { startOtlpTracing } = await import("../telemetry/tracing/otlp-tracing.ts");
  const { otlpResource } = await import("../telemetry/otlp/export.ts");
  const health = expectSink("otlp-traces", parts);
  const { clock, running } = parts;
  const resource = otlpResource(VERSION);
  return running.use(await startOtlpTracing(monitoring.otlpTraces, { clock, resource, health }));
}
