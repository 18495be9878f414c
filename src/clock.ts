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

/** What the work comes to, or undefined where that takes longer than `ms`; the work goes on. */
export async function within<T>(clock: Clock, ms: number, work: Promise<T>): Promise<T | undefined> {
  const done = new AbortController();
  const late = clock.sleep(ms, done.signal).then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    done.abort();
  }
}
