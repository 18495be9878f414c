/**
 * The longest wait, in ms, between two requests to upstream while it fails, whatever its `Retry-After` says. Polls with a longer
 * interval wait for their interval.
 */
export const MAX_RETRY_DELAY_MS = 60_000;

interface Backoff {
  /** Failed tries before this one in a row; 0 for the first retry. */
  readonly attempt: number;
  readonly firstMs: number;
  readonly maxMs: number;
  /** Fraction of the delay that is random; 0.5 by default. */
  readonly jitter?: number;
}

/**
 * Returns the ms to wait before the next try. The delay doubles with each attempt up to `maxMs`; a part of it is random, so that
 * the relays of a fleet do not retry in step. `random` is in [0, 1).
 */
export function backoffMs(
  { attempt, firstMs, maxMs, jitter = 0.5 }: Backoff,
  random = Math.random(),
): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 16));
  return Math.round(full * (1 - jitter) + full * jitter * random);
}
