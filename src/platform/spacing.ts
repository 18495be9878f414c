import type { Clock } from "./clock.ts";

/** Longest time until a waiting task looks again, since the spacing may have changed. */
const LOOK_AGAIN_MS = 1_000;

/** Keeps a minimum time between the starts of tasks of one kind, also if several parts start them. */
export class Spacing {
  readonly #clock: Clock;
  readonly #spacingMs: () => number;
  #lastAt: number | undefined;

  /** `spacingMs` returns the current minimum; 0 for none. */
  constructor(clock: Clock, spacingMs: () => number) {
    this.#clock = clock;
    this.#spacingMs = spacingMs;
  }

  /** Returns 0 if a task may start now, else the ms after which to look again. */
  get waitMs(): number {
    if (this.#lastAt === undefined) return 0;
    const leftMs = this.#lastAt + this.#spacingMs() - this.#clock.elapsed();
    return Math.min(Math.max(0, leftMs), LOOK_AGAIN_MS);
  }

  /** A task starts now. */
  started(): void {
    this.#lastAt = this.#clock.elapsed();
  }

  /** Resolves when it is the caller's turn to start a task. Rejects with `signal.reason` when aborted. */
  async turn(signal: AbortSignal): Promise<void> {
    while (this.waitMs > 0) await this.#clock.sleep(this.waitMs, signal);
    this.started();
  }
}
