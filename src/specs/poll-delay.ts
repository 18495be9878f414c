import { MAX_RETRY_DELAY_MS } from "../platform/backoff.ts";

/** Part of a delay that is left to chance, so that feeds and relays do not ask in step. */
const JITTER = 0.1;

interface PollSituation {
  readonly intervalMs: number;
  /** Polls in a row that upstream answered with nothing for a feed that it seems not to have. */
  readonly misses: number;
  /** What upstream asked for, in ms. */
  readonly retryAfterMs?: number | undefined;
}

/**
 * Ms until the next poll: the interval, never sooner than Retry-After. A feed that fails is asked for as often as one that
 * works, and no more: that is no burden, and the newest version is here one interval after upstream is well again,
 * whatever failed and for how long. `random` is in [0, 1).
 */
export function pollDelayMs({ intervalMs, misses, retryAfterMs }: PollSituation, random: number): number {
  const cap = Math.max(MAX_RETRY_DELAY_MS, intervalMs);
  const delay = Math.min(cap, intervalMs * 2 ** Math.min(misses, 16));
  const jittered = delay * (1 - JITTER * random);
  if (retryAfterMs === undefined) return jittered;
  // It may name one moment for all feeds of all relays.
  const spread = JITTER * Math.min(intervalMs, retryAfterMs) * random;
  return Math.max(jittered, Math.min(retryAfterMs, cap) + spread);
}
