import { setImmediate as nextTurn } from "node:timers/promises";
import { PREFIX } from "../metrics/catalog.ts";
import type { MetricKind, MetricRow } from "../metrics/metric.ts";
import type { MetricRegistry, Reading } from "../metrics/registry.ts";
import type { Series, Tags } from "../metrics/series.ts";
import type { SinkName } from "../topics/push.ts";

/** What was measured since the last time, for those who are sent it. */
export type Measurement =
  | { readonly kind: "count"; readonly name: string; readonly tags: Tags; readonly value: number }
  | { readonly kind: "gauge"; readonly name: string; readonly tags: Tags; readonly value: number }
  | {
      readonly kind: "latency";
      readonly name: string;
      readonly tags: Tags;
      /** In ms: all of them, or a fair choice of so many as `seen`. */
      readonly values: readonly number[];
      readonly seen: number;
    };

/** Series that are looked at without a break, in which no request is answered: less than a millisecond. */
const SERIES_A_TURN = 200;

/** Takes everything that is new out of the registry, and reads the gauges. */
export async function takeMeasurements(registry: MetricRegistry): Promise<readonly Measurement[]> {
  const taken: Measurement[] = [];
  for (const family of registry.families()) {
    for (const [at, series] of [...family.all()].entries()) {
      if (at % SERIES_A_TURN === SERIES_A_TURN - 1) await nextTurn();
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
    yield { kind: "count", name: nameOf(row, "count"), tags, value: delta.count };
  if (!row.kinds.includes("latency")) return;
  yield { kind: "latency", name: nameOf(row, "latency"), tags, values: delta.samples, seen: delta.count };
}

function gauges(row: MetricRow, readings: readonly Reading[]): readonly Measurement[] {
  return readings.map(([tags, value]) => ({ kind: "gauge", name: nameOf(row, "gauge"), tags, value }));
}

function nameOf({ name }: MetricRow, kind: MetricKind): string {
  return `${PREFIX}.${name}.${kind}`;
}

/** Where measurements are sent to. */
export interface PushSink extends AsyncDisposable {
  readonly name: SinkName;
  /**
   * Resolves once they are handed over; rejects with what people should read where they are lost. Called again
   * only after it has settled. Must end soon after `signal` is aborted.
   */
  send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void>;
}
