import { setTimeout as timeout } from "node:timers/promises";

/** Time as a port, so that tests need not wait for it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds since some moment. Unlike `now`, it never jumps, whatever is done to the machine's clock. */
  elapsed(): number;
  /** Resolves after `ms` milliseconds; rejects with `signal.reason` when aborted before that. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

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

/** A moment on both clocks of this process. */
export interface Instant {
  /** Ms since the Unix epoch, to be shown. How long ago it was, it does not say: the machine's clock may be set meanwhile. */
  readonly at: number;
  /** By {@link Clock.elapsed}, to measure with. */
  readonly elapsed: number;
}

/** Now, or `agoMs` before. */
export function takeInstant(clock: Clock, agoMs = 0): Instant {
  return { at: clock.now() - agoMs, elapsed: clock.elapsed() - agoMs };
}
