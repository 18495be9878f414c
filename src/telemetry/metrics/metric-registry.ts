import { setImmediate as nextTurn } from "node:timers/promises";
import { Family, type FamilyOptions } from "./family.ts";
import { type Reading, withinBound } from "./gauge-readings.ts";
import type { MetricRow } from "./metric-row.ts";
import {
  type CountName,
  type GaugeName,
  METRICS,
  rowOf,
  type TagsOf,
  type TimeName,
} from "./metric-table.ts";
import type { Series, Tags } from "./series.ts";

export interface GaugeReadings {
  readonly row: MetricRow;
  readonly readings: readonly Reading[];
}

type ReadGauge<T extends Tags = Tags> = () =>
  | Iterable<readonly [tags: T, value: number]>
  | Promise<Iterable<readonly [tags: T, value: number]>>;

/** Everything that was measured, in memory, for whoever asks or is sent it. */
export class MetricRegistry {
  readonly #options: FamilyOptions;
  readonly #families = new Map<string, Family>();
  readonly #gauges = new Map<MetricRow, ReadGauge>();

  constructor(options: FamilyOptions) {
    this.#options = options;
    for (const row of METRICS) {
      const isRead = row.kinds.every((kind) => kind === "gauge");
      if (isRead) continue;
      const family = new Family(row, options);
      this.#families.set(row.name, family);
      // There from the start, at 0: of a series that first appears with 1 Prometheus knows no increase.
      if (row.tags.length === 0) family.series({});
    }
  }

  /** Where measurements with these tags go: for whoever measures often, to be kept until it is forgotten. */
  series<N extends CountName | TimeName>(name: N, tags: TagsOf<N>): Series {
    const family = this.#families.get(name);
    if (family === undefined) throw new Error(`${name} is read, not counted`);
    return family.series(tags as Tags);
  }

  count<N extends CountName>(name: N, tags: TagsOf<N>, by = 1): void {
    this.series(name, tags).add(by);
  }

  /** Counts one that took so many ms. */
  time<N extends TimeName>(name: N, tags: TagsOf<N>, tookMs: number): void {
    this.series(name, tags).record(tookMs);
  }

  /** `read` is called each time that somebody looks. */
  gauge<N extends GaugeName>(name: N, read: ReadGauge<TagsOf<N>>): void {
    this.#gauges.set(rowOf(name), read);
  }

  families(): Iterable<Family> {
    return this.#families.values();
  }

  /**
   * One at a time, each in a turn of its own: some look at thousands of feeds. One that can't be read just now is left
   * out: it must not take the others with it.
   */
  async *readGauges(): AsyncIterable<GaugeReadings> {
    for (const [row, read] of this.#gauges) {
      await nextTurn();
      const readings = await this.#readingsOf(row, read).catch(() => undefined);
      if (readings !== undefined) yield { row, readings };
    }
  }

  /** Nothing of the key is held any more: it keeps no series. */
  forgetKey(maskedSdkKey: string): void {
    for (const family of this.#families.values()) family.forgetKey(maskedSdkKey);
  }

  async #readingsOf(row: MetricRow, read: ReadGauge): Promise<readonly Reading[]> {
    return withinBound(row, [...(await read())], this.#options.maxSeries);
  }
}
