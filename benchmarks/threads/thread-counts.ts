import { allowedCores } from "../cores.ts";

const COUNTS = [2, 4, 8, 16];

/** Returns the numbers of serving threads that are worth measuring here: at most one per core, but at least two. */
export function threadCounts(): readonly number[] {
  const cores = allowedCores().length;
  return COUNTS.filter((threads) => threads === 2 || threads <= cores);
}
