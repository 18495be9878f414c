import type { Clock } from "./clock.ts";

interface TokenBucketOptions {
  /** As many tokens as there are at the start, and at most. */
  readonly capacity: number;
  readonly refillPerS: number;
  readonly clock: Clock;
}

/** Lets `capacity` through at once, and `refillPerS` for every second after that. */
export class TokenBucket {
  readonly #capacity: number;
  #refillPerMs: number;
  readonly #clock: Clock;
  #tokens: number;
  #filledAt: number;

  constructor({ capacity, refillPerS, clock }: TokenBucketOptions) {
    this.#capacity = capacity;
    this.#refillPerMs = refillPerS / 1_000;
    this.#clock = clock;
    this.#tokens = capacity;
    this.#filledAt = clock.elapsed();
  }

  /** From now on so many for every second. */
  refillWith(perS: number): void {
    this.#fill();
    this.#refillPerMs = perS / 1_000;
  }

  /** Takes a token. Where there is none, nothing is taken, and what is returned is the time until there is one, ms. */
  take(): number | undefined {
    this.#fill();
    if (this.#tokens < 1) return (1 - this.#tokens) / this.#refillPerMs;
    this.#tokens--;
    return undefined;
  }

  #fill(): void {
    const now = this.#clock.elapsed();
    const refilled = (now - this.#filledAt) * this.#refillPerMs;
    this.#tokens = Math.min(this.#capacity, this.#tokens + refilled);
    this.#filledAt = now;
  }
}
