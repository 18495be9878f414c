import type { HrTime } from "@opentelemetry/api";
import { ValueType } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from "@opentelemetry/sdk-metrics";
import type { Family } from "./family.ts";
import type { GaugeReadings, MetricRegistry } from "./metric-registry.ts";
import type { MetricKind, MetricRow } from "./metric-row.ts";
import { PREFIX } from "./metric-table.ts";
import { BUCKETS_MS } from "./series.ts";
import { FreshWindows, type SeriesWindows, WholeWindows, type Window } from "./series-windows.ts";

export interface ProducerOptions {
  readonly registry: MetricRegistry;
  readonly resource: Resource;
  /** Of counts and latencies; cumulative unless told. */
  readonly temporality?: AggregationTemporality;
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

  constructor({ registry, resource, temporality = AggregationTemporality.CUMULATIVE }: ProducerOptions) {
    this.#registry = registry;
    this.#resource = resource;
    this.#temporality = temporality;
    const Windows = temporality === AggregationTemporality.DELTA ? FreshWindows : WholeWindows;
    this.#windows = new Windows(now());
  }

  async collect(): Promise<CollectionResult> {
    const gauges = await this.#registry.readGauges();
    const endTime = now();
    const metrics = [
      ...this.#counted(endTime),
      ...gauges.map((readings) => gaugeData(readings, endTime)),
    ].filter(({ dataPoints }) => dataPoints.length > 0);
    const scope = { name: "statsig-forward-proxy" };
    return { resourceMetrics: { resource: this.#resource, scopeMetrics: [{ scope, metrics }] }, errors: [] };
  }

  /** Never waits: nothing may be measured between what is told and what is remembered as told. */
  #counted(endTime: HrTime): readonly MetricData[] {
    const families = [...this.#registry.families()];
    const data = families.flatMap((family) => [...this.#dataOf(family, endTime)]);
    this.#windows.looked(
      families.flatMap((family) => [...family.all()]),
      endTime,
    );
    return data;
  }

  *#dataOf(family: Family, endTime: HrTime): Iterable<MetricData> {
    const { row } = family;
    const points = [...family.all()].flatMap((series) => {
      const window = this.#windows.of(series);
      return window === undefined ? [] : [{ ...window, attributes: { ...series.tags }, endTime }];
    });
    const aggregationTemporality = this.#temporality;
    if (row.kinds.includes("count")) yield { ...sumData(row, points), aggregationTemporality };
    if (row.kinds.includes("latency")) yield { ...histogramData(row, points), aggregationTemporality };
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
