import type { MetricRow } from "./metric-row.ts";
import { Series, type Tags } from "./series.ts";

/** Stands for every value beyond the bound. */
const OTHER = "other";

/** Of the bound, kept for series whose SDK key is left out: what it can't tell of keys it still tells of paths. */
const WITHOUT_KEYS = 200;

export interface FamilyOptions {
  readonly maxSeries: number;
  readonly keepsSamples: boolean;
}

/** All series of one metric; never more than the bound, whatever is measured. */
export class Family {
  readonly row: MetricRow;
  readonly #options: FamilyOptions;
  readonly #series = new Map<string, Series>();

  constructor(row: MetricRow, options: FamilyOptions) {
    this.row = row;
    this.#options = options;
  }

  /** Always the same for the same tags, as long as it is not forgotten; a new lcut takes the place of the last. */
  series(tags: Tags): Series {
    const id = this.#idOf(tags);
    const known = this.#series.get(id) ?? this.#admit(id, tags);
    if (tags["lcut"] !== undefined) known.tags["lcut"] = tags["lcut"];
    return known;
  }

  all(): Iterable<Series> {
    return this.#series.values();
  }

  get size(): number {
    return this.#series.size;
  }

  /** What was measured of an SDK key that is no longer held. */
  forgetKey(maskedSdkKey: string): void {
    for (const [id, { tags }] of this.#series) if (tags["sdk_key"] === maskedSdkKey) this.#series.delete(id);
  }

  #admit(id: string, tags: Tags): Series {
    const { maxSeries, keepsSamples } = this.#options;
    const room = maxSeries - 1 - this.#series.size;
    if (room <= WITHOUT_KEYS && (tags["sdk_key"] ?? OTHER) !== OTHER)
      return this.series({ ...tags, sdk_key: OTHER });
    const allOther = Object.fromEntries(this.row.tags.map((tag) => [tag, OTHER]));
    if (room <= 0 && id !== this.#idOf(allOther)) return this.series(allOther);
    const admitted = new Series(tags, { timed: this.row.kinds.includes("latency"), keepsSamples });
    this.#series.set(id, admitted);
    return admitted;
  }

  #idOf(tags: Tags): string {
    let id = "";
    for (const tag of this.row.tags) if (tag !== "lcut") id += `${tags[tag] ?? ""}\0`;
    return id;
  }
}
