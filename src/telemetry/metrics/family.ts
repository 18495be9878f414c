import type { MetricRow } from "./metric-row.ts";
import { Series, type Tags } from "./series.ts";

/** Stands for every value beyond the bound. */
export const OTHER = "other";

/** Stands for all SDK keys of which nothing is held. */
export const UNKNOWN_KEY = "unknown";

/** Of the bound, for series without a known SDK key: strangers can't use up the part of the keys, nor these theirs. */
const WITHOUT_KEYS = 200;

export interface FamilyOptions {
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
