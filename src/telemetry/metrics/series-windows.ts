import type { HrTime } from "@opentelemetry/api";
import type { Series } from "./series.ts";

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
  /** Undefined where there is nothing to tell. */
  of(series: Series): Window | undefined;
  /** The look at all of these is over. */
  looked(all: Iterable<Series>, at: HrTime): void;
}

/** Everything since the series began: it was not there at the look before it was first seen. */
export class WholeWindows implements SeriesWindows {
  readonly #bornAfter = new WeakMap<Series, HrTime>();
  #lookedAt: HrTime;

  constructor(startTime: HrTime) {
    this.#lookedAt = startTime;
  }

  of(series: Series): Window {
    return { ...totalsOf(series), startTime: this.#bornAfter.get(series) ?? this.#lookedAt };
  }

  looked(all: Iterable<Series>, at: HrTime): void {
    for (const series of all) {
      if (!this.#bornAfter.has(series)) this.#bornAfter.set(series, this.#lookedAt);
    }
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

  of(series: Series): Window | undefined {
    const { count, sumMs, buckets } = totalsOf(series);
    const told = this.#told.get(series);
    if (count === (told?.count ?? 0)) return undefined;
    return {
      startTime: this.#lookedAt,
      count: count - (told?.count ?? 0),
      sumMs: sumMs - (told?.sumMs ?? 0),
      buckets: buckets.map((inBucket, at) => inBucket - (told?.buckets[at] ?? 0)),
    };
  }

  looked(all: Iterable<Series>, at: HrTime): void {
    for (const series of all) this.#told.set(series, totalsOf(series));
    this.#lookedAt = at;
  }
}

function totalsOf({ count, sumMs, buckets }: Series): Totals {
  return { count, sumMs, buckets: [...(buckets ?? [])] };
}
