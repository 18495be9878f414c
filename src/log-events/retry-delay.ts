const FIRST_MS = 500;

/** While upstream takes others' events: there is no outage to wait for the end of. */
const MAX_MS = 5_000;
const MAX_IN_OUTAGE_MS = 30_000;

/** However long upstream asks us to stay away. */
const MAX_RETRY_AFTER_MS = 60_000;

export interface Failing {
  /** In a row. */
  readonly failures: number;
  /** What upstream asked for. */
  readonly afterMs: number | undefined;
  /** Nothing gets through, or nothing of this key. */
  readonly isOutage: boolean;
}

/** How long to wait: doubling, half of it random so that a fleet spreads, never shorter than upstream asks. */
export function retryDelayMs({ failures, afterMs, isOutage }: Failing, random = Math.random()): number {
  const max = isOutage ? MAX_IN_OUTAGE_MS : MAX_MS;
  const full = Math.min(max, FIRST_MS * 2 ** Math.min(failures - 1, 16));
  const own = Math.round(full / 2 + (full / 2) * random);
  return Math.max(own, Math.min(afterMs ?? 0, MAX_RETRY_AFTER_MS));
}
