import { Family, type FamilyOptions } from "./family.ts";
import type { MetricRow } from "./metric-row.ts";
import { METRICS, type MetricName, type TagsOf } from "./metric-table.ts";
import type { Series, Tags } from "./series.ts";

/** A value that is read when somebody looks. */
export type Reading = readonly [tags: Tags, value: number];

export interface GaugeReadings {
  readonly row: MetricRow;
  readonly readings: readonly Reading[];
}

type ReadGauge = () => Iterable<Reading> | Promise<Iterable<Reading>>;

/** Everything that was measured, in memory, for whoever asks or is sent it. */
export class MetricRegistry {
  readonly #options: FamilyOptions;
  readonly #families = new Map<MetricName, Family>();
  readonly #gauges = new Map<MetricRow, ReadGauge>();

  constructor(options: FamilyOptions) {
    this.#options = options;
    for (const row of METRICS) {
      const isRead = row.kinds.every((kind) => kind === "gauge");
      if (!isRead) this.#families.set(row.name, new Family(row, options));
    }
  }

  /** Where measurements with these tags go: for whoever measures often, to be kept. */
  series<N extends MetricName>(name: N, tags: TagsOf<N>): Series {
    const family = this.#families.get(name);
    if (family === undefined) throw new Error(`${name} is read, not counted`);
    return family.series(tags as Tags);
  }

  count<N extends MetricName>(name: N, tags: TagsOf<N>, by = 1): void {
    this.series(name, tags).add(by);
  }

  /** Counts one that took so many ms. */
  time<N extends MetricName>(name: N, tags: TagsOf<N>, tookMs: number): void {
    this.series(name, tags).record(tookMs);
  }

  /** `read` is called each time that somebody looks. */
  gauge<N extends MetricName>(
    name: N,
    read: () => Iterable<readonly [TagsOf<N>, number]> | Promise<Iterable<readonly [TagsOf<N>, number]>>,
  ): void {
    const row = METRICS.find((each) => each.name === name);
    if (row !== undefined) this.#gauges.set(row, read as ReadGauge);
  }

  families(): Iterable<Family> {
    return this.#families.values();
  }

  async readGauges(): Promise<readonly GaugeReadings[]> {
    const read = [...this.#gauges].map(async ([row, readings]) => {
      return { row, readings: [...(await readings())].slice(0, this.#options.maxSeries) };
    });
    return Promise.all(read);
  }

  forgetKey(maskedSdkKey: string): void {
    for (const family of this.#families.values()) family.forgetKey(maskedSdkKey);
  }
}
