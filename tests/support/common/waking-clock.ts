import { type Clock, systemClock } from "../../../src/platform/clock.ts";

/** A clock with real time whose long waits a test can end early. */
export class WakingClock implements Clock {
  #stoppedAtMs: number | undefined;
  readonly #sleepers = new Map<AbortController, number>();

  now(): number {
    return systemClock.now();
  }

  elapsed(): number {
    return this.#stoppedAtMs ?? systemClock.elapsed();
  }

  /** Moves `elapsed`, which moves by itself no more from the first call on. Waits still take real time. */
  pass(ms: number): void {
    this.#stoppedAtMs = this.elapsed() + ms;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#sleepers.set(woken, ms);
    try {
      await systemClock.sleep(ms, AbortSignal.any([signal, woken.signal]));
    } catch (error) {
      if (!woken.signal.aborted || signal.aborted) throw error;
    } finally {
      this.#sleepers.delete(woken);
    }
  }

  /** Ends the waits whose length is in this range, and returns their number. */
  wake(fromMs: number, toMs = fromMs): number {
    const due = [...this.#sleepers].filter(([, ms]) => ms >= fromMs && ms <= toMs);
    for (const [sleeper] of due) sleeper.abort();
    return due.length;
  }
}
