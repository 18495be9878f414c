import type { Clock } from "./clock.ts";

interface TokenBucketOptions {
  /** The maximum number of tokens, and the number at the start. */
  readonly capacity: number;
  readonly refillPerS: number;
  readonly clock: Clock;
}

/** Allows a burst of `capacity`, and `refillPerS` per second after that. */
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

  /** Changes the refill rate. Tokens that are left stay. */
  setRefillPerS(perS: number): void {
    this.#fill();
    this.#refillPerMs = perS / 1_000;
  }

  /** Takes a token. If there is none, returns the ms until the next one. */
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
