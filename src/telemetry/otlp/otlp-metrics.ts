import type { Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  InstrumentType,
  PeriodicExportingMetricReader,
  type ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import type { MetricRegistry } from "../metrics/metric-registry.ts";
import { RegistryProducer } from "../metrics/otel-producer.ts";
import type { SinkHealth } from "../sinks/sink-health.ts";
import { openMetricExporter } from "./metric-exporter.ts";
import type { OtlpMetricsOptions } from "./otlp-options.ts";
import { watchedExport } from "./watched-export.ts";

export interface OtlpMetricsParts {
  readonly registry: MetricRegistry;
  readonly resource: Resource;
  readonly health: SinkHealth;
}

/** What is sent at once: encoded within a few milliseconds, and far below what collectors take of one message. */
const MAX_POINTS_AT_ONCE = 1_000;

/** At shutdown, for the last values. */
const LAST_EXPORT_MS = 2_000;

/** Sends the registry by OTLP at intervals, and once more when it is disposed of. */
export async function startOtlpMetrics(
  { protocol, intervalMs, timeoutMs }: OtlpMetricsOptions,
  { registry, resource, health }: OtlpMetricsParts,
): Promise<AsyncDisposable> {
  const exporter = await openMetricExporter(protocol);
  const temporality =
    exporter.selectAggregationTemporality?.(InstrumentType.COUNTER) ?? AggregationTemporality.CUMULATIVE;
  const reader = new PeriodicExportingMetricReader({
    exporter: {
      export: watchedExport(exporter, { health, timeoutMs, lostWith: lostPoints }),
      forceFlush: () => exporter.forceFlush(),
      shutdown: () => exporter.shutdown(),
    },
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: timeoutMs,
    maxExportBatchSize: MAX_POINTS_AT_ONCE,
  });
  reader.setMetricProducer(new RegistryProducer({ registry, resource, temporality }));
  return {
    [Symbol.asyncDispose]: () => reader.shutdown({ timeoutMillis: LAST_EXPORT_MS }).catch(() => undefined),
  };
}

/** Of differences, which nobody tells again; totals are told with the next export. */
function lostPoints({ scopeMetrics }: ResourceMetrics): number {
  return scopeMetrics
    .flatMap(({ metrics }) => metrics)
    .filter(({ aggregationTemporality }) => aggregationTemporality === AggregationTemporality.DELTA)
    .reduce((points, { dataPoints }) => points + dataPoints.length, 0);
}
