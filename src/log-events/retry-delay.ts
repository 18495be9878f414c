const FIRST_MS = 500;
const MAX_MS = 30_000;

/** However long upstream asks us to stay away. */
const MAX_RETRY_AFTER_MS = 60_000;

/**
 * How long to wait after so many failures in a row: doubling, half of it random so that a fleet spreads, and
 * never shorter than upstream asks.
 */
export function retryDelayMs(failures: number, afterMs: number | undefined, random = Math.random()): number {
  const full = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures - 1, 16));
  const own = Math.round(full / 2 + (full / 2) * random);
  return Math.max(own, Math.min(afterMs ?? 0, MAX_RETRY_AFTER_MS));
}
