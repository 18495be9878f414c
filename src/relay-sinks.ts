import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { MetricRegistry } from "./telemetry/metrics/metric-registry.ts";
import type { SinkMetrics } from "./telemetry/metrics/sink-metrics.ts";
import type { EmitSinkEvent } from "./telemetry/sinks/events.ts";
import { PushLoop } from "./telemetry/sinks/push-loop.ts";
import type { PushSink } from "./telemetry/sinks/push-sink.ts";
import { SinkChannel } from "./telemetry/sinks/sink-channel.ts";

export interface SinkParts {
  readonly clock: Clock;
  readonly emit: EmitSinkEvent;
  readonly registry: MetricRegistry;
  readonly metrics: SinkMetrics;
  /** Owns what is started. */
  readonly running: AsyncDisposableStack;
}

/** Starts to send metrics to every place that the configuration names. */
export async function startSinks({ monitoring }: Config, parts: SinkParts): Promise<void> {
  const { clock, emit, registry, metrics, running } = parts;
  const { channelSize: size, pushIntervalMs: intervalMs } = monitoring;
  const sinks = await openPushSinks(monitoring);
  if (sinks.length === 0) return;
  const onDropped = (sink: string, count: number) => registry.count("MeasurementsDropped", { sink }, count);
  const channels = sinks.map((sink) => {
    metrics.expect(sink.name);
    return new SinkChannel({ sink, size, clock, emit, onDropped });
  });
  running.use(new PushLoop({ registry, channels, clock, intervalMs }));
}

/** Each is loaded only where it is wanted: none costs the others a start. */
async function openPushSinks(_monitoring: Config["monitoring"]): Promise<readonly PushSink[]> {
  return [];
}
