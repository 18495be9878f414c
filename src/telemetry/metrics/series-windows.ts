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
