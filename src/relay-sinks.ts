import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import { startOtlp } from "./relay-otlp.ts";
import { PushLoop } from "./telemetry/sinks/push-loop.ts";
import { SinkChannel, type SinkChannelOptions } from "./telemetry/sinks/sink-channel.ts";
import { dropsCountedIn, type SinkParts } from "./telemetry/sinks/sink-parts.ts";

/** Starts to send metrics to every place that the configuration names. */
export async function startSinks(config: Config, parts: SinkParts): Promise<void> {
  const { clock, supervisor, emit, registry, metrics, running } = parts;
  const { pushIntervalMs: intervalMs, otlpMetrics } = config.monitoring;
  await startOtlp(otlpMetrics, parts);
  const sinks = await openPushSinks(config, clock);
  if (sinks.length === 0) return;
  const onDropped = dropsCountedIn(registry);
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
    const { StatsdSink } = await import("./telemetry/sinks/statsd-sink.ts");
    sinks.push({ sink: new StatsdSink(statsd, clock), size: statsd.channelSize });
  }
  if (statsig !== undefined) {
    const { StatsigSink } = await import("./telemetry/sinks/statsig-sink.ts");
    const sink = await StatsigSink.open({ ...statsig, baseUrl: events.upstreamUrl });
    sinks.push({ sink, size: channelSize });
  }
  return sinks;
}
