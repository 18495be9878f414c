/** However long upstream fails, and whatever Retry-After says, it is asked again after this. */
export const MAX_BACKOFF_MS = 60_000;

/** Part of a delay that is left to chance, so that a fleet's relays do not ask in step. */
const JITTER = 0.1;

export interface PollSituation {
  readonly intervalMs: number;
  /** Polls that failed since the last that did not. */
  readonly failures: number;
  /** What upstream asked for, in ms. */
  readonly retryAfterMs?: number | undefined;
  /** Asks at every interval whatever happens; see {@link SpecPoller}. */
  readonly isScout: boolean;
}

/**
 * Ms until the next poll: the interval, doubled with each failure in a row up to a minute (or the interval,
 * where that is longer), and never sooner than Retry-After. `random` is in [0, 1).
 */
export function pollDelayMs(situation: PollSituation, random: number): number {
  const { intervalMs, failures, retryAfterMs, isScout } = situation;
  const cap = Math.max(MAX_BACKOFF_MS, intervalMs);
  const doublings = isScout ? 0 : Math.max(0, failures - 1);
  const delay = Math.min(cap, intervalMs * 2 ** Math.min(doublings, 16));
  const jittered = delay * (1 - JITTER * random);
  return Math.max(jittered, Math.min(retryAfterMs ?? 0, cap));
}
