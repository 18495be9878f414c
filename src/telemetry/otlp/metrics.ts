import { setImmediate as nextTurn } from "node:timers/promises";
import { type HrTime, ValueType } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  InstrumentType,
  type MetricData,
  type MetricProducer,
  PeriodicExportingMetricReader,
  type ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import type { MetricKind, MetricRow } from "../metrics/metric.ts";
import type { Family, GaugeReadings, MetricRegistry } from "../metrics/registry.ts";
import {
  BUCKETS_MS,
  CumulativeWindows,
  DeltaWindows,
  type SeriesWindows,
  type Window,
} from "../metrics/series.ts";
import { formatMetricName } from "../push/measurement.ts";
import type { SinkHealth } from "../push/sink-health.ts";
import { watchedExport } from "./export.ts";
import { openMetricExporter } from "./exporters.ts";
import type { OtlpMetricsOptions } from "./options.ts";

interface OtlpMetricsParts {
  readonly registry: MetricRegistry;
  readonly resource: Resource;
  readonly health: SinkHealth;
}

/** Maximum per message: encoded within a few milliseconds, and far below the message size that collectors accept. */
const MAX_POINTS_PER_EXPORT = 1_000;

/** Time limit at shutdown for sending the last values. */
const LAST_EXPORT_MS = 2_000;

/** Sends the metrics of the registry over OTLP at intervals, and the last ones when it is disposed of. */
export async function startOtlpMetrics(
  { protocol, url, intervalMs, timeoutMs }: OtlpMetricsOptions,
  { registry, resource, health }: OtlpMetricsParts,
): Promise<AsyncDisposable> {
  const exporter = await openMetricExporter(protocol, url === undefined ? {} : { url });
  const temporality =
    exporter.selectAggregationTemporality?.(InstrumentType.COUNTER) ?? AggregationTemporality.CUMULATIVE;
  const reader = new PeriodicExportingMetricReader({
    exporter: {
      export: watchedExport(exporter, { health, timeoutMs, countLost: countLostPoints }),
      forceFlush: () => exporter.forceFlush(),
      shutdown: () => exporter.shutdown(),
    },
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: timeoutMs,
    maxExportBatchSize: MAX_POINTS_PER_EXPORT,
  });
  reader.setMetricProducer(new RegistryProducer({ registry, resource, temporality }));
  return {
    [Symbol.asyncDispose]: () => reader.shutdown({ timeoutMillis: LAST_EXPORT_MS }).catch(() => undefined),
  };
}

/** Counts the deltas, which are not sent again. Cumulative totals are contained in the next export. */
function countLostPoints({ scopeMetrics }: ResourceMetrics): number {
  return scopeMetrics
    .flatMap(({ metrics }) => metrics)
    .filter(({ aggregationTemporality }) => aggregationTemporality === AggregationTemporality.DELTA)
    .reduce((points, { dataPoints }) => points + dataPoints.length, 0);
}

/** Number of series that are read before the event loop gets a turn; reading them takes less than 1 ms. */
const SERIES_PER_TURN = 100;

interface ProducerOptions {
  readonly registry: MetricRegistry;
  readonly resource: Resource;
  /** Applies to counts and latencies. */
  readonly temporality: AggregationTemporality;
}

/**
 * Converts the registry for OpenTelemetry's exporters. The instruments of its SDK are not used because they take ten times as
 * long per request. Each reader needs a producer of its own, which remembers what it returned last.
 */
export class RegistryProducer implements MetricProducer {
  readonly #registry: MetricRegistry;
  readonly #resource: Resource;
  readonly #temporality: AggregationTemporality;
  readonly #windows: SeriesWindows;

  constructor({ registry, resource, temporality }: ProducerOptions) {
    this.#registry = registry;
    this.#resource = resource;
    this.#temporality = temporality;
    const Windows = temporality === AggregationTemporality.DELTA ? DeltaWindows : CumulativeWindows;
    this.#windows = new Windows(now());
  }

  async collect(): Promise<CollectionResult> {
    const endTime = now();
    const metrics: MetricData[] = [];
    await this.#registry.collect();
    for (const family of this.#registry.families())
      metrics.push(...(await this.#toMetricData(family, endTime)));
    this.#windows.endRead(endTime);
    for await (const readings of this.#registry.readGauges()) metrics.push(toGaugeData(readings, endTime));
    const scope = { name: "statsig-forward-proxy" };
    const scopeMetrics = [{ scope, metrics: metrics.filter(({ dataPoints }) => dataPoints.length > 0) }];
    return { resourceMetrics: { resource: this.#resource, scopeMetrics }, errors: [] };
  }

  async #toMetricData(family: Family, endTime: HrTime): Promise<readonly MetricData[]> {
    const { row } = family;
    const points: Point[] = [];
    for (const [at, series] of [...family.all()].entries()) {
      if (at % SERIES_PER_TURN === SERIES_PER_TURN - 1) await nextTurn();
      const window = this.#windows.read(series);
      if (window !== undefined) points.push({ ...window, attributes: { ...series.tags }, endTime });
    }
    const aggregationTemporality = this.#temporality;
    return [
      ...(row.kinds.includes("count") ? [{ ...toSumData(row, points), aggregationTemporality }] : []),
      ...(row.kinds.includes("latency") ? [{ ...toHistogramData(row, points), aggregationTemporality }] : []),
    ];
  }
}

interface Point extends Window {
  readonly attributes: Readonly<Record<string, string>>;
  readonly endTime: HrTime;
}

function toSumData(row: MetricRow, points: readonly Point[]) {
  return {
    descriptor: toDescriptor(row, "count", ""),
    dataPointType: DataPointType.SUM,
    isMonotonic: true,
    dataPoints: points.map(({ count, attributes, startTime, endTime }) => {
      return { startTime, endTime, attributes, value: count };
    }),
  } as const;
}

function toHistogramData(row: MetricRow, points: readonly Point[]) {
  return {
    descriptor: toDescriptor(row, "latency", "ms"),
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints: points.map(({ count, sumMs: sum, buckets, attributes, startTime, endTime }) => {
      const value = { buckets: { boundaries: [...BUCKETS_MS], counts: [...buckets] }, sum, count };
      return { startTime, endTime, attributes, value };
    }),
  } as const;
}

function toGaugeData({ row, readings }: GaugeReadings, endTime: HrTime): MetricData {
  return {
    descriptor: toDescriptor(row, "gauge", ""),
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.GAUGE,
    dataPoints: readings.map(([tags, value]) => {
      return { startTime: endTime, endTime, attributes: { ...tags }, value };
    }),
  };
}

function toDescriptor(row: MetricRow, kind: MetricKind, unit: string) {
  return {
    name: formatMetricName(row, kind),
    description: row.description,
    unit,
    valueType: ValueType.DOUBLE,
  };
}

function now(): HrTime {
  const ms = Date.now();
  return [Math.floor(ms / 1_000), (ms % 1_000) * 1_000_000];
}
