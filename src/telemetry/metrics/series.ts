import type { HrTime } from "@opentelemetry/api";

/** Upper ends of the buckets of every latency, ms. What is answered from memory takes less than the first. */
export const BUCKETS_MS = [0.1, 0.5, 1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 60_000] as const;

/** Latencies of one series that are kept between two drains; of more, as many are picked at random. */
const MAX_SAMPLES = 100;

export type Tags = Readonly<Record<string, string>>;

/** What was measured since the last drain. */
interface Delta {
  readonly count: number;
  /** Latencies in ms: all of them, or a fair choice. */
  readonly samples: readonly number[];
}

/** The measurements of one metric with the same tags. Kept in place: on the path of every request. */
export class Series {
  readonly tags: Record<string, string>;
  readonly buckets: Float64Array | undefined;
  readonly #keepsSamples: boolean;
  #samples: number[] = [];
  #drained = 0;
  #isForgotten = false;
  count = 0;
  sumMs = 0;

  constructor(
    tags: Tags,
    { timed, keepsSamples }: { readonly timed: boolean; readonly keepsSamples: boolean },
  ) {
    this.tags = { ...tags };
    this.buckets = timed ? new Float64Array(BUCKETS_MS.length + 1) : undefined;
    this.#keepsSamples = timed && keepsSamples;
  }

  add(by: number): void {
    this.count += by;
  }

  /** Counts one, and how long it took. */
  record(tookMs: number): void {
    this.count++;
    this.sumMs += tookMs;
    const { buckets } = this;
    if (buckets === undefined) return;
    let bucket = 0;
    while (bucket < BUCKETS_MS.length && tookMs > (BUCKETS_MS[bucket] as number)) bucket++;
    buckets[bucket] = (buckets[bucket] as number) + 1;
    if (this.#keepsSamples) this.#sample(tookMs);
  }

  /** It is shown no more: what is measured belongs elsewhere. */
  get isForgotten(): boolean {
    return this.#isForgotten;
  }

  /** Says what was not drained yet. */
  forget(): Delta | undefined {
    this.#isForgotten = true;
    return this.drain();
  }

  /** Adds what another did not get to tell to the next drain, and to no count: of that it is a part already. */
  owe({ count, samples }: Delta): void {
    this.#drained -= count;
    this.#samples.push(...samples.slice(0, MAX_SAMPLES - this.#samples.length));
  }

  /** Of everything since the last time; undefined where there was nothing. */
  drain(): Delta | undefined {
    const count = this.count - this.#drained;
    if (count === 0) return undefined;
    this.#drained = this.count;
    const samples = this.#samples;
    this.#samples = [];
    return { count, samples };
  }

  /** Reservoir sampling: each latency since the last drain is kept with the same odds. */
  #sample(tookMs: number): void {
    if (this.#samples.length < MAX_SAMPLES) {
      this.#samples.push(tookMs);
      return;
    }
    const at = Math.floor(Math.random() * (this.count - this.#drained));
    if (at < MAX_SAMPLES) this.#samples[at] = tookMs;
  }
}

interface Totals {
  readonly count: number;
  readonly sumMs: number;
  /** By bucket; none where nothing is timed. */
  readonly buckets: readonly number[];
}

/** What was measured of a series from one moment on. */
export interface Window extends Totals {
  readonly startTime: HrTime;
}

/**
 * What one reader is told of each series, from look to look. A series that was forgotten and came again is another
 * object and begins anew: nothing ever goes back within a window.
 */
export interface SeriesWindows {
  /** For the look that is underway; undefined where there is nothing to tell. */
  tell(series: Series): Window | undefined;
  /** The look is over; what it told was so at `at`. */
  looked(at: HrTime): void;
}

/** Everything since the series began: it was not there at the look before it was first seen. */
export class WholeWindows implements SeriesWindows {
  readonly #bornAfter = new WeakMap<Series, HrTime>();
  #lookedAt: HrTime;

  constructor(startTime: HrTime) {
    this.#lookedAt = startTime;
  }

  tell(series: Series): Window {
    const startTime = this.#bornAfter.get(series) ?? this.#lookedAt;
    this.#bornAfter.set(series, startTime);
    return { ...totalsOf(series), startTime };
  }

  looked(at: HrTime): void {
    this.#lookedAt = at;
  }
}

/** What came since the last look. */
export class FreshWindows implements SeriesWindows {
  readonly #told = new WeakMap<Series, Totals>();
  #lookedAt: HrTime;

  constructor(startTime: HrTime) {
    this.#lookedAt = startTime;
  }

  tell(series: Series): Window | undefined {
    const totals = totalsOf(series);
    const { count, sumMs, buckets } = totals;
    const told = this.#told.get(series);
    if (count === (told?.count ?? 0)) return undefined;
    this.#told.set(series, totals);
    return {
      startTime: this.#lookedAt,
      count: count - (told?.count ?? 0),
      sumMs: sumMs - (told?.sumMs ?? 0),
      buckets: buckets.map((inBucket, at) => inBucket - (told?.buckets[at] ?? 0)),
    };
  }

  looked(at: HrTime): void {
    this.#lookedAt = at;
  }
}

function totalsOf({ count, sumMs, buckets }: Series): Totals {
  return { count, sumMs, buckets: [...(buckets ?? [])] };
}
