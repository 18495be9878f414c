import { setImmediate as macrotask } from "node:timers/promises";
import type { Clock } from "../../../src/platform/clock.ts";

interface Sleeper {
  readonly wakesAtMs: number;
  readonly wake: () => void;
}

/** A clock that moves only by `advance`. `jump` sets the wall clock alone. */
export class FakeClock implements Clock {
  #nowMs: number;
  #jumpedMs = 0;
  #sleepers: Sleeper[] = [];

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs + this.#jumpedMs;
  }

  /** Sets the wall clock forward or back; the elapsed time stays. */
  jump(ms: number): void {
    this.#jumpedMs += ms;
  }

  elapsed(): number {
    return this.#nowMs;
  }

  /** Ms until the next sleeper wakes; undefined if there is none. */
  get nextWakeInMs(): number | undefined {
    return this.#sleepers[0] === undefined ? undefined : this.#sleepers[0].wakesAtMs - this.#nowMs;
  }

  get sleeping(): number {
    return this.#sleepers.length;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal.aborted) {
      reject(signal.reason);
      return promise;
    }
    const onAbort = (): void => {
      this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
      reject(signal.reason);
    };
    const sleeper: Sleeper = {
      wakesAtMs: this.#nowMs + Math.max(0, ms),
      wake: () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      },
    };
    signal.addEventListener("abort", onAbort, { once: true });
    // Sorting is stable: among equal times, the first sleeper wakes first.
    this.#sleepers = [...this.#sleepers, sleeper].sort((a, b) => a.wakesAtMs - b.wakesAtMs);
    return promise;
  }

  /** Wakes every sleeper that is due within `ms`, in order, and lets each run until it waits again. */
  async advance(ms: number): Promise<void> {
    const targetMs = this.#nowMs + ms;
    await settle();
    for (
      let next = this.#sleepers[0];
      next !== undefined && next.wakesAtMs <= targetMs;
      next = this.#sleepers[0]
    ) {
      this.#nowMs = Math.max(this.#nowMs, next.wakesAtMs);
      this.#sleepers.shift();
      next.wake();
      await settle();
    }
    this.#nowMs = targetMs;
  }
}

/** Runs pending microtasks and a few turns of the event loop. */
export async function settle(turns = 4): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await macrotask();
}
