import type { SpoolHead, SpoolRows } from "./event-spool-calls.ts";
import type { SpoolGroups } from "./event-spool-groups.ts";
import { NOTHING, plus, type SpoolRowTable, type SpoolSums } from "./event-spool-rows.ts";

export interface SpoolRemoved {
  readonly sums: SpoolSums;
  /** What is left of the rows begins here. */
  readonly first: SpoolHead | undefined;
}

/** The first `count` events of the rows go, or all of them. */
export function removeEvents(
  rows: SpoolRowTable,
  groups: SpoolGroups,
  range: SpoolRows,
  count: number | undefined,
): SpoolRemoved {
  const sums = count === undefined ? rows.deleteAll(range) : removeFirst(rows, range, count);
  groups.removeEmpty(range.groupId);
  return { sums, first: rows.head(range) };
}

function removeFirst(rows: SpoolRowTable, range: SpoolRows, count: number): SpoolSums {
  let sums = NOTHING;
  for (const row of rows.list(range, Math.max(1, count))) {
    const left = count - sums.events;
    if (left <= 0) break;
    const chunk = row.events > left ? rows.chunkOf(row.id) : undefined;
    // Damaged since it was taken: gone with it, as it could not be taken again.
    sums = plus(sums, chunk === undefined ? rows.delete(row) : rows.shorten(row, chunk, left));
  }
  return sums;
}
