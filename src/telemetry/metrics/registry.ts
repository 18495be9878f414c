import { setImmediate as nextTurn } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import {
  type ClientMetricName,
  type CountName,
  findMetric,
  type GaugeName,
  METRICS,
  type MetricTags,
  type TimeName,
} from "./catalog.ts";
import type { ClientTagName, MetricRow } from "./metric.ts";
import { Series, type Tags } from "./series.ts";

export interface GaugeReadings {
  readonly row: MetricRow;
  readonly readings: readonly Reading[];
}

type ReadGauge<T extends Tags = Tags> = () =>
  | Iterable<readonly [tags: T, value: number]>
  | Promise<Iterable<readonly [tags: T, value: number]>>;

/** Holds all measurements in memory. Prometheus and the sinks read them from here. */
export class MetricRegistry {
  readonly #options: FamilyOptions;
  readonly #families = new Map<string, Family>();
  /** The families of metrics with client tags; none if nothing is pushed. */
  readonly #byClient = new Map<string, Family>();
  readonly #gauges = new Map<MetricRow, ReadGauge>();
  /** Masked SDK keys whose series were removed, each with what says whether the key is known again. */
  readonly #removed = new LRUCache<string, () => boolean>({ max: MAX_REMOVED_KEYS });
  #collectElsewhere: () => Promise<void> = () => Promise.resolve();

  constructor(given: Omit<FamilyOptions, "isRemoved">) {
    const options = { ...given, isRemoved: (key: string) => this.#isRemoved(key) };
    this.#options = options;
    for (const row of METRICS as readonly MetricRow[]) {
      const isRead = row.kinds.every((kind) => kind === "gauge");
      if (isRead) continue;
      const isSplit = options.keepsSamples && row.clientTags !== undefined;
      const family = new Family(row, isSplit ? { ...options, keepsSamples: false } : options);
      this.#families.set(row.name, family);
      if (isSplit) this.#byClient.set(row.name, new Family(row, { ...options, isByClient: true }));
      // Start at 0: if a series first appears as 1, Prometheus does not see an increase.
      if (row.tags.length === 0) family.series({});
    }
  }

  /** Whether sinks export measurements at intervals. */
  get isPushing(): boolean {
    return this.#options.keepsSamples;
  }

  get maxSeries(): number {
    return this.#options.maxSeries;
  }

  /** Returns the series of these tags and client tags, which is pushed instead of the one without client tags. */
  clientSeries<N extends ClientMetricName>(
    name: N,
    tags: MetricTags<N> & Readonly<Record<ClientTagName, string>>,
  ): Series {
    const family = this.#byClient.get(name);
    if (family === undefined) throw new Error(`${name} is not pushed by client`);
    return family.series(tags as Tags);
  }

  /** Returns the series of these tags. Hot paths may keep it until `isForgotten`. */
  series<N extends CountName | TimeName>(name: N, tags: MetricTags<N>): Series {
    const family = this.#families.get(name);
    if (family === undefined) throw new Error(`${name} is read, not counted`);
    return family.series(tags as Tags);
  }

  /** `latest` are tags of pushed lines alone, which do not distinguish series: those of the latest measurement count. */
  count<N extends CountName>(name: N, tags: MetricTags<N>, by = 1, latest?: Tags): void {
    const series = this.series(name, tags);
    series.add(by);
    if (latest !== undefined) series.latest = latest;
  }

  /** Counts one measurement and its duration in ms. `latest` as for {@link count}. */
  time<N extends TimeName>(name: N, tags: MetricTags<N>, tookMs: number, latest?: Tags): void {
    const series = this.series(name, tags);
    series.record(tookMs);
    if (latest !== undefined) series.latest = latest;
  }

  /** Registers a gauge. `read` is called on every scrape or export. */
  gauge<N extends GaugeName>(name: N, read: ReadGauge<MetricTags<N>>): void {
    this.#gauges.set(findMetric(name), read);
  }

  /** Sets what brings the measurements of other threads into the registry. It must resolve soon, whatever these threads do. */
  collectFrom(collect: () => Promise<void>): void {
    this.#collectElsewhere = collect;
  }

  /** To be awaited before the families are read. */
  collect(): Promise<void> {
    return this.#collectElsewhere();
  }

  families(): Iterable<Family> {
    return this.#families.values();
  }

  /** Returns the families whose series are pushed. */
  *pushedFamilies(): Iterable<Family> {
    for (const [name, family] of this.#families) yield this.#byClient.get(name) ?? family;
  }

  /**
   * Reads one gauge per turn of the event loop, since some iterate over thousands of feeds. A gauge that throws is skipped, so
   * that the others are still exported.
   */
  async *readGauges(): AsyncIterable<GaugeReadings> {
    for (const [row, read] of this.#gauges) {
      await nextTurn();
      const readings = await this.#read(row, read).catch(() => undefined);
      if (readings !== undefined) yield { row, readings };
    }
  }

  /**
   * Removes the series of an SDK key that is no longer cached. What is still measured of it, of a stream that closes or a poll that
   * was in flight, counts for unknown keys, until `isKnown` returns true.
   */
  forgetKey(maskedSdkKey: string, isKnown: () => boolean): void {
    this.#removed.set(maskedSdkKey, isKnown);
    for (const family of this.#families.values()) family.forgetKey(maskedSdkKey);
    for (const family of this.#byClient.values()) family.forgetKey(maskedSdkKey);
  }

  #isRemoved(key: string): boolean {
    const isKnown = this.#removed.get(key);
    if (isKnown?.() === true) this.#removed.delete(key);
    return this.#removed.has(key);
  }

  async #read(row: MetricRow, read: ReadGauge): Promise<readonly Reading[]> {
    return limitReadings(row, [...(await read())], this.#options.maxSeries);
  }
}

/** The tag value of series beyond the limit. */
export const OTHER = "other";

/** The tag value of all SDK keys that are not cached. */
export const UNKNOWN_KEY = "unknown";

/** The part of the limit that is reserved for series without a known SDK key, so that neither group can use up the other's part. */
const WITHOUT_KEYS = 200;

/** What is measured of a removed key comes soon after its removal. */
const MAX_REMOVED_KEYS = 10_000;

interface FamilyOptions {
  readonly maxSeries: number;
  /** Whether single latencies are kept for sinks that export at intervals. */
  readonly keepsSamples: boolean;
  /** Whether the client tags of the row distinguish series as well. */
  readonly isByClient?: boolean;
  /** Whether the series of this masked SDK key were removed, and are not to come back. */
  readonly isRemoved: (maskedSdkKey: string) => boolean;
}

/** The series of one metric, at most `maxSeries`. */
export class Family {
  readonly row: MetricRow;
  readonly #options: FamilyOptions;
  readonly #tagNames: readonly string[];
  readonly #clientTags: readonly string[];
  readonly #series = new Map<string, Series>();
  /** The number of series with a known SDK key. */
  #keyed = 0;

  constructor(row: MetricRow, options: FamilyOptions) {
    this.row = row;
    this.#options = options;
    this.#clientTags = options.isByClient ? (row.clientTags ?? []) : [];
    this.#tagNames = [...row.tags, ...this.#clientTags];
  }

  /** Returns the same series for the same tags until it is forgotten. `lcut` does not count: a new one replaces the last. */
  series(tags: Tags): Series {
    const id = this.#toId(tags);
    const known = this.#series.get(id) ?? this.#admit(id, tags);
    if (tags["lcut"] !== undefined && known.tags["lcut"] !== OTHER) known.tags["lcut"] = tags["lcut"];
    return known;
  }

  all(): Iterable<Series> {
    return this.#series.values();
  }

  /** Removes the series of an SDK key. What was not exported yet is added to the series `other`. */
  forgetKey(maskedSdkKey: string): void {
    for (const [id, series] of this.#series) {
      if (series.tags["sdk_key"] !== maskedSdkKey) continue;
      this.#series.delete(id);
      this.#keyed--;
      const undrained = series.forget();
      if (undrained === undefined || !this.#options.keepsSamples) continue;
      const heir = this.series(withoutKey(series.tags));
      heir.inherit(undrained);
      heir.latest = series.latest;
    }
  }

  #admit(id: string, tags: Tags): Series {
    const { maxSeries, keepsSamples } = this.#options;
    const isKeyed = hasKey(tags);
    if (isKeyed && this.#options.isRemoved(tags["sdk_key"] ?? ""))
      return this.series({ ...tags, sdk_key: UNKNOWN_KEY });
    if (this.#isHalfFull(isKeyed) && this.#clientTags.some((tag) => tags[tag] !== OTHER))
      return this.series({ ...tags, ...toOther(this.#clientTags) });
    if (isKeyed && this.#keyed >= maxSeries - WITHOUT_KEYS) return this.series(withoutKey(tags));
    const allOther = toOther(this.#tagNames);
    if (!isKeyed && this.#isFullWithoutKeys() && id !== this.#toId(allOther)) return this.series(allOther);
    const admitted = new Series(tags, { timed: this.row.kinds.includes("latency"), keepsSamples });
    this.#series.set(id, admitted);
    if (isKeyed) this.#keyed++;
    return admitted;
  }

  /** One place is reserved for the series `other`. */
  #isFullWithoutKeys(): boolean {
    return this.#series.size - this.#keyed >= this.#maxWithoutKeys - 1;
  }

  /** From here on clients get no tags of their own, so that keys, paths and statuses keep theirs. */
  #isHalfFull(isKeyed: boolean): boolean {
    return isKeyed
      ? this.#keyed >= (this.#options.maxSeries - WITHOUT_KEYS) / 2
      : this.#series.size - this.#keyed >= this.#maxWithoutKeys / 2;
  }

  get #maxWithoutKeys(): number {
    return this.row.tags.includes("sdk_key") ? WITHOUT_KEYS : this.#options.maxSeries;
  }

  #toId(tags: Tags): string {
    let id = "";
    for (const tag of this.#tagNames) if (tag !== "lcut") id += `${tags[tag] ?? ""}\0`;
    return id;
  }
}

function hasKey({ sdk_key: sdkKey }: Tags): boolean {
  return sdkKey !== undefined && sdkKey !== OTHER && sdkKey !== UNKNOWN_KEY;
}

function toOther(tags: readonly string[]): Tags {
  return Object.fromEntries(tags.map((tag) => [tag, OTHER]));
}

function withoutKey(tags: Tags): Tags {
  return { ...tags, sdk_key: OTHER, ...(tags["lcut"] !== undefined && { lcut: OTHER }) };
}

/** A value of a gauge. */
export type Reading = readonly [tags: Tags, value: number];

/** Returns at most `maxSeries` readings. The rest is combined into one, with the tag value `other`. */
function limitReadings(row: MetricRow, readings: readonly Reading[], maxSeries: number): readonly Reading[] {
  const known = readings.filter(([, value]) => Number.isFinite(value));
  if (known.length <= maxSeries) return known;
  const rest = known.slice(maxSeries - 1).map(([, value]) => value);
  return [...known.slice(0, maxSeries - 1), [toOther(row.tags), combine(rest, row.rest)]];
}

function combine(values: readonly number[], rest: MetricRow["rest"]): number {
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
