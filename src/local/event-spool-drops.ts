import { rowsFrom, type SpoolDrop, type SpoolRows } from "./event-spool-calls.ts";
import type { SpoolDropReason } from "./event-spool-events.ts";
import type { SpoolGroups } from "./event-spool-groups.ts";
import { NOTHING, plus, type SpoolRow, type SpoolRowTable, type SpoolSums } from "./event-spool-rows.ts";

interface Dropped {
  readonly firstId: number;
  readonly lastId: number;
  readonly sums: SpoolSums;
}

/**
 * Gives up the oldest rows for as long as `goes` says so of the next. Never those that are taken: they are on
 * their way.
 */
export function dropOldest(
  rows: SpoolRowTable,
  groups: SpoolGroups,
  reason: SpoolDropReason,
  taken: readonly SpoolRows[],
  goes: (row: SpoolRow) => boolean,
): SpoolDrop[] {
  const lastTaken = new Map<number, number>();
  for (const { groupId, lastId } of taken) {
    lastTaken.set(groupId, Math.max(lastId, lastTaken.get(groupId) ?? 0));
  }
  const dropped = new Map<number, Dropped>();
  for (const row of rows.oldestFirst()) {
    const { groupId, id } = row;
    if (id <= (lastTaken.get(groupId) ?? 0)) continue;
    if (!goes(row)) break;
    const before = dropped.get(groupId) ?? { firstId: id, sums: NOTHING };
    dropped.set(groupId, {
      firstId: before.firstId,
      lastId: id,
      sums: plus(before.sums, rows.delete(row)),
    });
  }
  return [...dropped].map(([groupId, { firstId, lastId, sums }]) => {
    groups.removeEmpty(groupId);
    return { reason, groupId, firstId, sums, head: rows.head(rowsFrom(groupId, lastId + 1)) };
  });
}
