import type { Clock } from "../../clock.ts";
import type { Supervisor } from "../../supervision/supervisor.ts";
import type { MetricRegistry } from "../metrics/metric-registry.ts";
import type { SinkMetrics } from "../metrics/sink-metrics.ts";
import type { EmitSinkEvent, SinkName } from "./events.ts";
import { SinkHealth } from "./sink-health.ts";

/** What whoever sends metrics somewhere needs of the rest of the relay. */
export interface SinkParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitSinkEvent;
  readonly registry: MetricRegistry;
  readonly metrics: SinkMetrics;
  /** Owns what is started. */
  readonly running: AsyncDisposableStack;
}

/** A place that counts as working until it fails; what it loses is counted. */
export function expectSink(sink: SinkName, { clock, emit, registry, metrics }: SinkParts): SinkHealth {
  metrics.expect(sink);
  return new SinkHealth({ sink, clock, emit, onDropped: dropsCountedIn(registry) });
}

export function dropsCountedIn(registry: MetricRegistry): (sink: SinkName, count: number) => void {
  return (sink, count) => registry.count("MeasurementsDropped", { sink }, count);
}
