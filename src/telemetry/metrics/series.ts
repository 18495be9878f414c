import type { HrTime } from "@opentelemetry/api";
import { MAX_SAMPLES, mergeSamples, type Sampled } from "./samples.ts";

/** Upper bounds of the histogram buckets of all latencies, in ms. Responses from memory fall into the first. */
export const BUCKETS_MS = [0.1, 0.5, 1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 60_000] as const;

export type Tags = Readonly<Record<string, string>>;

const NO_TAGS: Tags = {};

/** The measurements of a series, as plain data that can be sent to another thread. `samples` are latencies in ms. */
export interface Measured extends Sampled {
  readonly sumMs: number;
  /** Counts by bucket, one more than {@link BUCKETS_MS}; empty if the metric has no latency. */
  readonly buckets: readonly number[];
}

/** The measurements of one metric with the same tags. Updated in place, since every request is measured. */
export class Series {
  readonly tags: Record<string, string>;
  readonly buckets: Float64Array | undefined;
  readonly #keepsSamples: boolean;
  /** Tags of the latest measurement, which are pushed but not scraped. They do not distinguish series. */
  latest: Tags = NO_TAGS;
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

  /** Counts one measurement and its duration. */
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

  /** Whether the series was removed from its family. Measurements then belong into a new one. */
  get isForgotten(): boolean {
    return this.#isForgotten;
  }

  /** Marks the series as removed. Returns what was not drained yet, or undefined. */
  forget(): Sampled | undefined {
    this.#isForgotten = true;
    return this.drain();
  }

  /** Adds the undrained measurements of a removed series to the next drain, but not to `count`, which includes them already. */
  inherit(removed: Sampled): void {
    this.#samples = mergeSamples(this.#undrained, removed);
    this.#drained -= removed.count;
  }

  /** Returns everything that was measured. Complete only if the series was never drained. */
  measured(): Measured {
    const { count, sumMs, buckets } = this;
    return { count, sumMs, buckets: [...(buckets ?? [])], samples: this.#samples };
  }

  /** Adds what another thread measured. */
  merge(measured: Measured): void {
    if (this.#keepsSamples) this.#samples = mergeSamples(this.#undrained, measured);
    this.count += measured.count;
    this.sumMs += measured.sumMs;
    const { buckets } = this;
    if (buckets === undefined) return;
    for (const [at, inBucket] of measured.buckets.entries()) buckets[at] = (buckets[at] ?? 0) + inBucket;
  }

  /** Returns the measurements since the last drain, or undefined if there are none. */
  drain(): Sampled | undefined {
    const count = this.count - this.#drained;
    if (count === 0) return undefined;
    this.#drained = this.count;
    const samples = this.#samples;
    this.#samples = [];
    return { count, samples };
  }

  get #undrained(): Sampled {
    return { count: this.count - this.#drained, samples: this.#samples };
  }

  /** Reservoir sampling: each latency since the last drain is kept with the same probability. */
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
  /** Counts by bucket; empty if the metric has no latency. */
  readonly buckets: readonly number[];
}

/** The measurements of a series since `startTime`. */
export interface Window extends Totals {
  readonly startTime: HrTime;
}

/**
 * The windows of one reader (an OTLP exporter). A series that was forgotten and re-created is a new object with a new window:
 * no value ever decreases within a window.
 */
export interface SeriesWindows {
  /** Returns the window of a series for the current read, or undefined if there is nothing to export. */
  read(series: Series): Window | undefined;
  /** Ends the current read, which took place at `at`. */
  endRead(at: HrTime): void;
}

/** Cumulative windows: they begin at the read before the series was first seen. */
export class CumulativeWindows implements SeriesWindows {
  readonly #startTimes = new WeakMap<Series, HrTime>();
  #lastReadAt: HrTime;

  constructor(startTime: HrTime) {
    this.#lastReadAt = startTime;
  }

  read(series: Series): Window {
    const startTime = this.#startTimes.get(series) ?? this.#lastReadAt;
    this.#startTimes.set(series, startTime);
    return { ...readTotals(series), startTime };
  }

  endRead(at: HrTime): void {
    this.#lastReadAt = at;
  }
}

/** Delta windows: they begin at the last read. */
export class DeltaWindows implements SeriesWindows {
  readonly #exported = new WeakMap<Series, Totals>();
  #lastReadAt: HrTime;

  constructor(startTime: HrTime) {
    this.#lastReadAt = startTime;
  }

  read(series: Series): Window | undefined {
    const totals = readTotals(series);
    const { count, sumMs, buckets } = totals;
    const exported = this.#exported.get(series);
    if (count === (exported?.count ?? 0)) return undefined;
    this.#exported.set(series, totals);
    return {
      startTime: this.#lastReadAt,
      count: count - (exported?.count ?? 0),
      sumMs: sumMs - (exported?.sumMs ?? 0),
      buckets: buckets.map((inBucket, at) => inBucket - (exported?.buckets[at] ?? 0)),
    };
  }

  endRead(at: HrTime): void {
    this.#lastReadAt = at;
  }
}

function readTotals({ count, sumMs, buckets }: Series): Totals {
  return { count, sumMs, buckets: [...(buckets ?? [])] };
}
