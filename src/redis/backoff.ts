const FIRST_MS = 100;
/** A relay has Redis back within about a second, however long it was away. */
const MAX_MS = 1_000;

/** How long to wait before the next try, by how many failed; half of it is random, so that a fleet spreads. */
export function backoffMs(failures: number, random = Math.random()): number {
  const full = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures, 16));
  return Math.round(full / 2 + (full / 2) * random);
}
