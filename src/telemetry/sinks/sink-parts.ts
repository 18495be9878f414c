import type { Clock } from "../../clock.ts";
import type { MetricRegistry } from "../metrics/metric-registry.ts";
import type { SinkMetrics } from "../metrics/sink-metrics.ts";
import type { EmitSinkEvent } from "./events.ts";

/** What whoever sends metrics somewhere needs of the rest of the relay. */
export interface SinkParts {
  readonly clock: Clock;
  readonly emit: EmitSinkEvent;
  readonly registry: MetricRegistry;
  readonly metrics: SinkMetrics;
  /** Owns what is started. */
  readonly running: AsyncDisposableStack;
}
