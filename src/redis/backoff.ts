const FIRST_MS = 100;
const MAX_MS = 1_500;

/** How long to wait before the next try, after so many that failed; half of it random, so that a fleet spreads. */
export function backoffMs(failures: number, random = Math.random()): number {
  const full = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures, 16));
  return Math.round(full / 2 + (full / 2) * random);
}
