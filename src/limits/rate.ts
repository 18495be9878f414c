/** Counts period by period. */
export class Rate {
  readonly #max: number;
  readonly #periodMs: number;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(max: number, periodMs: number) {
    this.#max = max;
    this.#periodMs = periodMs;
  }

  /** Whether so many more are within the rate. */
  allows(count: number): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#sinceMs >= this.#periodMs) {
      this.#sinceMs = nowMs;
      this.#count = 0;
    }
    this.#count += count;
    return this.#count <= this.#max;
  }
}
