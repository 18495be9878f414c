import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { RequestMeter } from "./http/request-meter.ts";
import { preloadFeeds } from "./preload-feeds.ts";
import { startSinks } from "./relay-sinks.ts";
import { describeError } from "./supervision/describe-error.ts";
import { Supervisor } from "./supervision/supervisor.ts";
import { EventLog } from "./telemetry/logs/event-log.ts";
import type { Logger } from "./telemetry/logs/logger.ts";
import { EventMetrics } from "./telemetry/metrics/event-metrics.ts";
import { KeyTags } from "./telemetry/metrics/key-tags.ts";
import { MetricRegistry } from "./telemetry/metrics/metric-registry.ts";
import { prometheusText } from "./telemetry/metrics/prometheus.ts";
import { RequestMetrics } from "./telemetry/metrics/request-metrics.ts";
import type { SinkMetrics } from "./telemetry/metrics/sink-metrics.ts";
import type { RelayEvent } from "./telemetry/relay-event.ts";
import { RequestRates } from "./telemetry/status/request-rates.ts";
import { StatusBoard } from "./telemetry/status/status-board.ts";

export interface TelemetryParts {
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
