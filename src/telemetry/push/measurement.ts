import { setImmediate as nextTurn } from "node:timers/promises";
import { PREFIX } from "../metrics/catalog.ts";
import type { MetricKind, MetricRow } from "../metrics/metric.ts";
import type { MetricRegistry, Reading } from "../metrics/registry.ts";
import type { Series, Tags } from "../metrics/series.ts";
import type { SinkName } from "../topics/push.ts";

/** A value for sinks: what was measured since the last export, or the reading of a gauge. */
export type Measurement =
  | { readonly kind: "count"; readonly name: string; readonly tags: Tags; readonly value: number }
  | { readonly kind: "gauge"; readonly name: string; readonly tags: Tags; readonly value: number }
  | {
      readonly kind: "latency";
      readonly name: string;
      readonly tags: Tags;
      /** In ms: all latencies, or a random sample of `seen` latencies. */
      readonly values: readonly number[];
      readonly seen: number;
    };

/** The number of series read per turn of the event loop: less than a millisecond, in which no request is served. */
const SERIES_PER_TURN = 200;

/** Drains the registry, and reads the gauges. */
export async function takeMeasurements(registry: MetricRegistry): Promise<readonly Measurement[]> {
  const taken: Measurement[] = [];
  for (const family of registry.families()) {
    for (const [at, series] of [...family.all()].entries()) {
      if (at % SERIES_PER_TURN === SERIES_PER_TURN - 1) await nextTurn();
      taken.push(...take(family.row, series));
    }
  }
  for await (const { row, readings } of registry.readGauges()) taken.push(...gauges(row, readings));
  return taken;
}

function* take(row: MetricRow, series: Series): Iterable<Measurement> {
  const delta = series.drain();
  if (delta === undefined) return;
  const tags = { ...series.tags };
  if (row.kinds.includes("count"))
    yield { kind: "count", name: formatName(row, "count"), tags, value: delta.count };
  if (!row.kinds.includes("latency")) return;
  yield { kind: "latency", name: formatName(row, "latency"), tags, values: delta.samples, seen: delta.count };
}

function gauges(row: MetricRow, readings: readonly Reading[]): readonly Measurement[] {
  return readings.map(([tags, value]) => ({ kind: "gauge", name: formatName(row, "gauge"), tags, value }));
}

function formatName({ name }: MetricRow, kind: MetricKind): string {
  return `${PREFIX}.${name}.${kind}`;
}

/** A destination of measurements. */
export interface PushSink extends AsyncDisposable {
  readonly name: SinkName;
  /**
   * Resolves when the measurements are handed over. Rejects with a message for operators if they are lost. Is called again only
   * after it has settled. Must settle soon after `signal` is aborted.
   */
  send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void>;
}
