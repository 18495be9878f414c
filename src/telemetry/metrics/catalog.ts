import { FLOW_METRICS } from "./flow-metrics.ts";
import type { MetricRow } from "./metric.ts";
import { ORIGINAL_METRICS } from "./original-metrics.ts";
import { PROCESS_METRICS } from "./process-metrics.ts";

/** All metrics. Names and tags of measurements are checked against these rows at compile time. */
export const METRICS = [...ORIGINAL_METRICS, ...FLOW_METRICS, ...PROCESS_METRICS] as const;

type Row = (typeof METRICS)[number];
type MetricName = Row["name"];
export type CountName = Extract<Row, { kinds: readonly ["count"] }>["name"];
/** Metrics of durations. Some have a latency only, since their count is a metric of another name. */
export type TimeName = Extract<Row, { kinds: readonly ["count", "latency"] | readonly ["latency"] }>["name"];
/** Metrics whose pushed lines have client tags. */
export type ClientMetricName = Extract<Row, { clientTags: readonly string[] }>["name"];
export type GaugeName = Extract<Row, { kinds: readonly ["gauge"] }>["name"];

/** The tags of one metric, each with its value. */
export type MetricTags<N extends MetricName> = {
  readonly [T in Extract<Row, { name: N }>["tags"][number]]: string;
};

export const PREFIX = "statsig.forward_proxy";

export function findMetric(name: MetricName): MetricRow {
  const row = METRICS.find((each) => each.name === name);
  if (row === undefined) throw new Error(`no metric ${name}`);
  return row;
}
