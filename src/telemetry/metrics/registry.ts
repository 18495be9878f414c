import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type CountName,
  findMetric,
  type GaugeName,
  METRICS,
  type MetricTags,
  type TimeName,
} from "./catalog.ts";
import type { MetricRow } from "./metric.ts";
import { Series, type Tags } from "./series.ts";

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
  series<N extends CountName | TimeName>(name: N, tags: MetricTags<N>): Series {
    const family = this.#families.get(name);
    if (family === undefined) throw new Error(`${name} is read, not counted`);
    return family.series(tags as Tags);
  }

  count<N extends CountName>(name: N, tags: MetricTags<N>, by = 1): void {
    this.series(name, tags).add(by);
  }

  /** Counts one that took so many ms. */
  time<N extends TimeName>(name: N, tags: MetricTags<N>, tookMs: number): void {
    this.series(name, tags).record(tookMs);
  }

  /** `read` is called each time that somebody looks. */
  gauge<N extends GaugeName>(name: N, read: ReadGauge<MetricTags<N>>): void {
    this.#gauges.set(findMetric(name), read);
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

/** Stands for every value beyond the bound. */
export const OTHER = "other";

/** Stands for all SDK keys of which nothing is held. */
export const UNKNOWN_KEY = "unknown";

/** Of the bound, for series without a known SDK key: strangers can't use up the part of the keys, nor these theirs. */
const WITHOUT_KEYS = 200;

interface FamilyOptions {
  readonly maxSeries: number;
  /** Somebody takes what is new at intervals: single latencies are kept for that. */
  readonly keepsSamples: boolean;
}

/** All series of one metric; never more than the bound, whatever is measured. */
export class Family {
  readonly row: MetricRow;
  readonly #options: FamilyOptions;
  readonly #series = new Map<string, Series>();
  /** Of these, the ones of a known SDK key. */
  #keyed = 0;

  constructor(row: MetricRow, options: FamilyOptions) {
    this.row = row;
    this.#options = options;
  }

  /** Always the same for the same tags, as long as it is not forgotten; a new lcut takes the place of the last. */
  series(tags: Tags): Series {
    const id = this.#idOf(tags);
    const known = this.#series.get(id) ?? this.#admit(id, tags);
    if (tags["lcut"] !== undefined && known.tags["lcut"] !== OTHER) known.tags["lcut"] = tags["lcut"];
    return known;
  }

  all(): Iterable<Series> {
    return this.#series.values();
  }

  /** Of an SDK key that is no longer held. What nobody has taken yet counts among the others. */
  forgetKey(maskedSdkKey: string): void {
    for (const [id, series] of this.#series) {
      if (series.tags["sdk_key"] !== maskedSdkKey) continue;
      this.#series.delete(id);
      this.#keyed--;
      const untaken = series.forget();
      if (untaken !== undefined && this.#options.keepsSamples)
        this.series(withoutKey(series.tags)).owe(untaken);
    }
  }

  #admit(id: string, tags: Tags): Series {
    const { maxSeries, keepsSamples } = this.#options;
    const isKeyed = hasKey(tags);
    if (isKeyed && this.#keyed >= maxSeries - WITHOUT_KEYS) return this.series(withoutKey(tags));
    const allOther = Object.fromEntries(this.row.tags.map((tag) => [tag, OTHER]));
    if (!isKeyed && this.#isFullWithoutKeys() && id !== this.#idOf(allOther)) return this.series(allOther);
    const admitted = new Series(tags, { timed: this.row.kinds.includes("latency"), keepsSamples });
    this.#series.set(id, admitted);
    if (isKeyed) this.#keyed++;
    return admitted;
  }

  /** But for one place, which is for all that find none. */
  #isFullWithoutKeys(): boolean {
    const places = this.row.tags.includes("sdk_key") ? WITHOUT_KEYS : this.#options.maxSeries;
    return this.#series.size - this.#keyed >= places - 1;
  }

  #idOf(tags: Tags): string {
    let id = "";
    for (const tag of this.row.tags) if (tag !== "lcut") id += `${tags[tag] ?? ""}\0`;
    return id;
  }
}

function hasKey({ sdk_key: sdkKey }: Tags): boolean {
  return sdkKey !== undefined && sdkKey !== OTHER && sdkKey !== UNKNOWN_KEY;
}

function withoutKey(tags: Tags): Tags {
  return { ...tags, sdk_key: OTHER, ...(tags["lcut"] !== undefined && { lcut: OTHER }) };
}

/** A value that is read when somebody looks. */
export type Reading = readonly [tags: Tags, value: number];

/** No more than `maxSeries`: the rest is one, told as `other`. */
function withinBound(row: MetricRow, readings: readonly Reading[], maxSeries: number): readonly Reading[] {
  const known = readings.filter(([, value]) => Number.isFinite(value));
  if (known.length <= maxSeries) return known;
  const rest = known.slice(maxSeries - 1).map(([, value]) => value);
  const allOther = Object.fromEntries(row.tags.map((tag) => [tag, OTHER]));
  return [...known.slice(0, maxSeries - 1), [allOther, oneFor(rest, row.rest)]];
}

function oneFor(values: readonly number[], rest: MetricRow["rest"]): number {
  switch (rest) {
    case "smallest":
      return values.reduce((a, b) => Math.min(a, b));
    case "largest":
      return values.reduce((a, b) => Math.max(a, b));
    case "sum":
    case undefined:
      return values.reduce((a, b) => a + b);
  }
}
