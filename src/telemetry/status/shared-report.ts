import type { Clock } from "../../platform/clock.ts";

interface ReportSource<T> {
  /** Collects what can only be read asynchronously. */
  readonly gather: () => Promise<T>;
  /** Blocks the thread; the more feeds there are, the longer. */
  readonly build: (gathered: T) => string;
}

/** Requests within this time share a report. */
const SHARED_FOR_MS = 500;

/** Building reports may take at most 1/20 of the thread's time... */
const SHARED_FOR_TIMES_ITS_COST = 20;

/** ...but no report is older than this: on a busy machine one build can take a second, most of it waiting for a core. */
const SHARED_FOR_AT_MOST_MS = 2_000;

/** Builds the status report, and bounds the time it takes from serving, however often it is requested. */
export class SharedReport<T> {
  readonly #source: ReportSource<T>;
  readonly #clock: Clock;
  #last: Promise<string> | undefined;
  #sharedUntil = Number.NEGATIVE_INFINITY;

  constructor(source: ReportSource<T>, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  read(): Promise<string> {
    if (this.#last === undefined || this.#clock.elapsed() >= this.#sharedUntil) this.#last = this.#renew();
    return this.#last;
  }

  async #renew(): Promise<string> {
    this.#sharedUntil = this.#clock.elapsed() + SHARED_FOR_MS;
    const gathered = await this.#source.gather();
    const begun = this.#clock.elapsed();
    const text = this.#source.build(gathered);
    const cost = this.#clock.elapsed() - begun;
    const sharedForMs = Math.max(SHARED_FOR_MS, SHARED_FOR_TIMES_ITS_COST * cost);
    this.#sharedUntil = begun + Math.min(sharedForMs, SHARED_FOR_AT_MOST_MS);
    return text;
  }
}
