import type { Clock } from "../clock.ts";
import { RedisFailure } from "./failure.ts";

/** The promise, or a failure after `ms`, whatever it still waits for. */
export async function bounded<T>(promise: Promise<T>, ms: number, clock: Clock): Promise<T> {
  const timer = new AbortController();
  const late = clock.sleep(ms, timer.signal).then(() => {
    throw new RedisFailure("timeout", `no answer within ${ms / 1_000} s`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}
