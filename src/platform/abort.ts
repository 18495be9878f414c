import type { Clock } from "./clock.ts";

/**
 * Settles as `work` does, but rejects with `signal.reason` as soon as the signal is aborted. The work itself is not cancelled;
 * a rejection that comes after the abort is ignored.
 */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([aborted.promise, work]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Settles as `work` does, or resolves with undefined after `ms` milliseconds. The work itself is not cancelled. */
export async function withTimeout<T>(work: Promise<T>, ms: number, clock: Clock): Promise<T | undefined> {
  const timer = new AbortController();
  const expired = clock.sleep(ms, timer.signal).then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([work, expired]);
  } finally {
    timer.abort();
  }
}

/** Aborts `work` with `reason` after `ms` milliseconds. Abort it yourself when the work is over, which ends the timer. */
export function abortAfter(work: AbortController, ms: number, clock: Clock, reason?: Error): void {
  clock.sleep(ms, work.signal).then(
    () => work.abort(reason),
    () => {},
  );
}

/**
 * Wakes everything that waits for it. A notification is not remembered: check the condition before each wait, without an
 * `await` in between.
 */
export class WakeSignal {
  readonly #waits = new Set<AbortController>();

  notify(): void {
    for (const wait of this.#waits) wait.abort();
    this.#waits.clear();
  }

  /** Resolves with true on the next notification, with false after `ms`. Rejects with `signal.reason` when aborted. */
  async wait(ms: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
    const wait = new AbortController();
    this.#waits.add(wait);
    try {
      await clock.sleep(ms, AbortSignal.any([wait.signal, signal]));
      return false;
    } catch {
      signal.throwIfAborted();
      return true;
    } finally {
      this.#waits.delete(wait);
    }
  }
}

/** Remembers no more than that something has changed, for one that waits. */
export class Changes {
  #next = Promise.withResolvers<void>();

  wake(): void {
    this.#next.resolve();
  }

  /** Resolves at the first change since the last call. */
  async next(): Promise<void> {
    await this.#next.promise;
    this.#next = Promise.withResolvers();
  }
}
