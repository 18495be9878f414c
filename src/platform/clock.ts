import { setTimeout as timeout } from "node:timers/promises";

/** The source of time, replaced in tests. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds on a monotonic clock: unlike {@link now}, it does not jump when the wall clock is set. */
  elapsed(): number;
  /** Resolves after `ms` milliseconds; rejects with `signal.reason` when aborted before that. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The longest time that a timer can wait for, in ms. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** The units of durations in arguments, in ms. */
export const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  async sleep(ms, signal) {
    signal.throwIfAborted();
    try {
      await timeout(ms, undefined, { signal });
    } catch {
      throw signal.reason;
    }
  },
};

/** A point in time on both clocks. */
export interface Instant {
  /** Ms since the Unix epoch, for display only: the wall clock may have been set since. */
  readonly at: number;
  /** Ms of {@link Clock.elapsed}, for measuring how long ago it was. */
  readonly elapsed: number;
}

/** Returns the current time, or `agoMs` before it. */
export function takeInstant(clock: Clock, agoMs = 0): Instant {
  return { at: clock.now() - agoMs, elapsed: clock.elapsed() - agoMs };
}
