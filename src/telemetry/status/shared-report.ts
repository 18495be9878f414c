import type { Clock } from "../../clock.ts";

/** Whoever asks within this time gets the same. */
const SHARED_FOR_MS = 500;

/** Looking may take the part of the thread's time that one is of this. */
const SHARED_FOR_TIMES_ITS_COST = 20;

/** However many look, and however much there is to see, looking takes little from serving. */
export class SharedReport {
  readonly #make: () => Promise<string>;
  readonly #clock: Clock;
  #last: Promise<string> | undefined;
  #sharedUntil = Number.NEGATIVE_INFINITY;

  constructor(make: () => Promise<string>, clock: Clock) {
    this.#make = make;
    this.#clock = clock;
  }

  read(): Promise<string> {
    if (this.#last === undefined || this.#clock.elapsed() >= this.#sharedUntil) this.#last = this.#renew();
    return this.#last;
  }

  async #renew(): Promise<string> {
    const begun = this.#clock.elapsed();
    this.#sharedUntil = begun + SHARED_FOR_MS;
    try {
      return await this.#make();
    } finally {
      const cost = this.#clock.elapsed() - begun;
      this.#sharedUntil = begun + Math.max(SHARED_FOR_MS, SHARED_FOR_TIMES_ITS_COST * cost);
    }
  }
}
