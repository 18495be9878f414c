const EVERY_MS = 10;
const TRIES = 4;

/**
 * Settles as `attempt` does. After a failure in which this process stood still for `stallMs` or longer it is called again, up to four
 * times in total: what depends on when this process saw something says nothing then.
 */
export async function unlessStalled(stallMs: number, attempt: () => Promise<void>): Promise<void> {
  for (let left = TRIES; ; left--) {
    using stalls = new Stalls();
    try {
      return await attempt();
    } catch (error) {
      if (left === 1 || stalls.longestMs < stallMs) throw error;
    }
  }
}

/** Finds out for how long this process stood still. */
export class Stalls implements Disposable {
  #longestMs = 0;
  #ranAt = performance.now();
  readonly #timer = setInterval(() => this.#ran(), EVERY_MS);

  get longestMs(): number {
    this.#ran();
    return this.#longestMs;
  }

  #ran(): void {
    const nowMs = performance.now();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#ranAt - EVERY_MS);
    this.#ranAt = nowMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
