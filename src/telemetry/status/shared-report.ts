import type { Clock } from "../../platform/clock.ts";

interface ReportSource<T> {
  /** What must be waited for. */
  readonly gather: () => Promise<T>;
  /** Takes the thread, the longer the more there is to tell. */
  readonly build: (gathered: T) => string;
}

/** Whoever asks within this time gets the same. */
const SHARED_FOR_MS = 500;

/** Building may take the part of the thread's time that one is of this. */
const SHARED_FOR_TIMES_ITS_COST = 20;

/** However many look, and however much there is to see, looking takes little from serving. */
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
    this.#sharedUntil = begun + Math.max(SHARED_FOR_MS, SHARED_FOR_TIMES_ITS_COST * cost);
    return text;
  }
}
