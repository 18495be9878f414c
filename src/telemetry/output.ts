import type { Clock } from "../platform/clock.ts";
import type { Logger } from "./logging/logger.ts";
import type { MetricRegistry } from "./metrics/registry.ts";
import type { KeyTags } from "./metrics/tags.ts";

/** Where a subject (one file of topics/) writes its log lines and metrics. */
export interface TelemetryOutput {
  readonly logger: Logger;
  readonly registry: MetricRegistry;
  readonly keys: KeyTags;
  readonly clock: Clock;
  /**
   * Returns a handler that never throws: a bug in telemetry must not break the component that emits. What `record` throws
   * is reported as an unexpected error of the task `telemetry`.
   */
  readonly contain: <Event>(record: (event: Event) => void) => (event: Event) => void;
}
