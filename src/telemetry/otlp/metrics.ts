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
  type PushMetricExporter,
  type ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import { PREFIX } from "../metrics/catalog.ts";
import type { MetricKind, MetricRow } from "../metrics/metric.ts";
import type { Family, GaugeReadings, MetricRegistry } from "../metrics/registry.ts";
import {
  BUCKETS_MS,
  CumulativeWindows,
  DeltaWindows,
  type SeriesWindows,
  type Window,
} from "../metrics/series.ts";
import type { SinkHealth } from "../push/channel.ts";
import { watchedExport } from "./export.ts";
import type { OtlpMetricsOptions, OtlpProtocol } from "./options.ts";

interface OtlpMetricsParts {
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

/** Each is loaded only where it is wanted. */
async function openMetricExporter(protocol: OtlpProtocol): Promise<PushMetricExporter> {
  switch (protocol) {
    case "http/protobuf": {
      const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-proto");
      return new OTLPMetricExporter();
    }
    case "http/json": {
      const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-http");
      return new OTLPMetricExporter();
    }
    case "grpc": {
      const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-grpc");
      return new OTLPMetricExporter();
    }
  }
}

/** Series that are looked at without a break, in which no request is answered: less than a millisecond. */
const SERIES_A_TURN = 100;

interface ProducerOptions {
  readonly registry: MetricRegistry;
  readonly resource: Resource;
  /** Of counts and latencies. */
  readonly temporality: AggregationTemporality;
}

/**
 * Hands the registry to OpenTelemetry's exporters in the place of its SDK's own instruments, which would take ten
 * times as long for each request. One for each reader, since it remembers what that was told.
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
    for (const family of this.#registry.families()) metrics.push(...(await this.#dataOf(family, endTime)));
    this.#windows.endRead(endTime);
    for await (const readings of this.#registry.readGauges()) metrics.push(gaugeData(readings, endTime));
    const scope = { name: "statsig-forward-proxy" };
    const told = metrics.filter(({ dataPoints }) => dataPoints.length > 0);
    const scopeMetrics = [{ scope, metrics: told }];
    return { resourceMetrics: { resource: this.#resource, scopeMetrics }, errors: [] };
  }

  async #dataOf(family: Family, endTime: HrTime): Promise<readonly MetricData[]> {
    const { row } = family;
    const points: Point[] = [];
    for (const [at, series] of [...family.all()].entries()) {
      if (at % SERIES_A_TURN === SERIES_A_TURN - 1) await nextTurn();
      const window = this.#windows.read(series);
      if (window !== undefined) points.push({ ...window, attributes: { ...series.tags }, endTime });
    }
    const aggregationTemporality = this.#temporality;
    return [
      ...(row.kinds.includes("count") ? [{ ...sumData(row, points), aggregationTemporality }] : []),
      ...(row.kinds.includes("latency") ? [{ ...histogramData(row, points), aggregationTemporality }] : []),
    ];
  }
}

interface Point extends Window {
  readonly attributes: Readonly<Record<string, string>>;
  readonly endTime: HrTime;
}

function sumData(row: MetricRow, points: readonly Point[]) {
  return {
    descriptor: descriptorOf(row, "count", ""),
    dataPointType: DataPointType.SUM,
    isMonotonic: true,
    dataPoints: points.map(({ count, attributes, startTime, endTime }) => {
      return { startTime, endTime, attributes, value: count };
    }),
  } as const;
}

function histogramData(row: MetricRow, points: readonly Point[]) {
  return {
    descriptor: descriptorOf(row, "latency", "ms"),
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints: points.map(({ count, sumMs: sum, buckets, attributes, startTime, endTime }) => {
      const value = { buckets: { boundaries: [...BUCKETS_MS], counts: [...buckets] }, sum, count };
      return { startTime, endTime, attributes, value };
    }),
  } as const;
}

function gaugeData({ row, readings }: GaugeReadings, endTime: HrTime): MetricData {
  return {
    descriptor: descriptorOf(row, "gauge", ""),
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.GAUGE,
    dataPoints: readings.map(([tags, value]) => {
      return { startTime: endTime, endTime, attributes: { ...tags }, value };
    }),
  };
}

function descriptorOf({ name, description }: MetricRow, kind: MetricKind, unit: string) {
  return { name: `${PREFIX}.${name}.${kind}`, description, unit, valueType: ValueType.DOUBLE };
}

function now(): HrTime {
  const ms = Date.now();
  return [Math.floor(ms / 1_000), (ms % 1_000) * 1_000_000];
}
