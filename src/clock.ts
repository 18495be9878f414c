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
