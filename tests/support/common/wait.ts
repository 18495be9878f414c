import { setTimeout as sleep } from "node:timers/promises";

export interface Patience {
  readonly withinMs?: number;
  readonly everyMs?: number;
}

/**
 * Calls `attempt` until it returns without throwing. Rejects with its last error at the time limit, which is long, since a busy machine may
 * stand still for some seconds.
 */
export async function eventually<T>(
  attempt: () => T | Promise<T>,
  { withinMs = 15_000, everyMs = 25 }: Patience = {},
): Promise<T> {
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() + everyMs > deadlineMs) throw error;
    }
    await sleep(everyMs);
  }
}

/** Settles as `promise` does, or rejects after `ms` milliseconds with an error that names `what`. */
export async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  const timer = new AbortController();
  const late = sleep(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what}: nothing within ${ms} ms`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}
