import { setImmediate as nextTurn } from "node:timers/promises";
import { PREFIX } from "../metrics/catalog.ts";
import type { MetricKind, MetricRow } from "../metrics/metric.ts";
import type { MetricRegistry, Reading } from "../metrics/registry.ts";
import type { Series, Tags } from "../metrics/series.ts";
import type { SinkName } from "../topics/sinks.ts";
import { PUSHED_AS_SUM, type PushTagFormat, toOriginalTags } from "./original-tags.ts";

/** What was measured since the last push, or the value of a gauge. */
export type Measurement =
  | { readonly kind: "count"; readonly name: string; readonly tags: Tags; readonly value: number }
  | { readonly kind: "gauge"; readonly name: string; readonly tags: Tags; readonly value: number }
  | {
      readonly kind: "latency";
      readonly name: string;
      readonly tags: Tags;
      /** In ms. If there are fewer than `seen`, they are a random sample. */
      readonly values: readonly number[];
      /** Number of latencies that were measured. */
      readonly seen: number;
    };

/** Number of series that are read before the event loop gets a turn; reading them takes less than 1 ms. */
const SERIES_PER_TURN = 200;

/** Drains everything that is new from the registry, and reads the gauges. Tags have the original proxy's names and form. */
export async function takeMeasurements(
  registry: MetricRegistry,
  format: PushTagFormat,
): Promise<readonly Measurement[]> {
  const taken: Measurement[] = [];
  await registry.collect();
  for (const family of registry.pushedFamilies()) {
    for (const [at, series] of [...family.all()].entries()) {
      if (at % SERIES_PER_TURN === SERIES_PER_TURN - 1) await nextTurn();
      taken.push(...takeFrom(series, family.row, format));
    }
  }
  for await (const { row, readings } of registry.readGauges()) taken.push(...toGauges(row, readings, format));
  return taken;
}

function* takeFrom(series: Series, row: MetricRow, format: PushTagFormat): Iterable<Measurement> {
  const delta = series.drain();
  if (delta === undefined) return;
  const tags = toOriginalTags(row, series, format);
  const { count, samples } = delta;
  if (row.kinds.includes("count")) {
    yield { kind: "count", name: formatMetricName(row, "count"), tags, value: count };
  }
  if (row.kinds.includes("latency")) {
    yield { kind: "latency", name: formatMetricName(row, "latency"), tags, values: samples, seen: count };
  }
}

function toGauges(
  row: MetricRow,
  readings: readonly Reading[],
  format: PushTagFormat,
): readonly Measurement[] {
  const name = formatMetricName(row, "gauge");
  if (PUSHED_AS_SUM.has(row.name)) {
    return [{ kind: "gauge", name, tags: {}, value: readings.reduce((sum, [, value]) => sum + value, 0) }];
  }
  return readings.map(([tags, value]) => {
    return { kind: "gauge", name, tags: toOriginalTags(row, { tags, latest: {} }, format), value };
  });
}

/** Returns the full name of a metric, such as `statsig.forward_proxy.SdkKeysHeld.gauge`. */
export function formatMetricName({ name }: MetricRow, kind: MetricKind): string {
  return `${PREFIX}.${name}.${kind}`;
}

/** A destination of measurements. */
export interface PushSink extends AsyncDisposable {
  readonly name: SinkName;
  /**
   * Resolves when the measurements are handed over. Rejects if they are lost; the message of the error is logged. Not called
   * again before it has settled. Must settle soon after `signal` is aborted.
   */
  send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void>;
}
