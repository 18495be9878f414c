import type { EventChunk } from "../log-events/event-chunk.ts";
import type { EventGroup } from "../log-events/event-queue.ts";
import { rowsFrom, type SpoolDrop, type SpoolTaken } from "./event-spool-calls.ts";
import type { SpoolGroups } from "./event-spool-groups.ts";
import { NOTHING, plus, type SpoolRow, type SpoolRowTable } from "./event-spool-rows.ts";

export interface SpoolTake {
  readonly groupId: number;
  readonly fromId: number;
  readonly maxEvents: number;
  readonly maxBytes: number;
}

export interface SpoolTakeResult {
  /** Undefined where there is nothing of the group. */
  readonly taken: SpoolTaken | undefined;
  /** What was found to be damaged on the way. */
  readonly dropped: readonly SpoolDrop[];
}

/** The oldest rows of a group that fit the limits, at least one. */
export function takeRows(rows: SpoolRowTable, groups: SpoolGroups, take: SpoolTake): SpoolTakeResult {
  const { groupId } = take;
  const group = groups.read(groupId);
  const dropped: SpoolDrop[] = [];
  for (;;) {
    const fitting = fittingRows(rows, take);
    const last = fitting.at(-1);
    if (last === undefined) {
      groups.removeEmpty(groupId);
      return { taken: undefined, dropped };
    }
    const next = rows.head(rowsFrom(groupId, last.id + 1));
    const sound: SpoolRow[] = [];
    const chunks = fitting.flatMap((row) => {
      const chunk = group && rows.chunkOf(row.id);
      if (chunk !== undefined) sound.push(row);
      else dropped.push({ reason: "damage", groupId, firstId: row.id, sums: rows.delete(row), head: next });
      return chunk ?? [];
    });
    const taken = group && takenOf(group, sound, chunks, next);
    if (taken !== undefined) return { taken, dropped };
  }
}

/** The bodies are left alone until it is known which are needed. */
function fittingRows(rows: SpoolRowTable, { groupId, fromId, maxEvents, maxBytes }: SpoolTake): SpoolRow[] {
  let [events, bytes] = [0, 0];
  const candidates = rows.list(rowsFrom(groupId, fromId), Math.max(1, maxEvents));
  const tooMuch = candidates.findIndex((row, at) => {
    events += row.events;
    bytes += row.bytes;
    return at > 0 && (events > maxEvents || bytes > maxBytes);
  });
  return tooMuch === -1 ? candidates : candidates.slice(0, tooMuch);
}

function takenOf(
  group: EventGroup,
  rows: readonly SpoolRow[],
  chunks: readonly EventChunk[],
  next: SpoolTaken["next"],
): SpoolTaken | undefined {
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  return {
    rows: { groupId: first.groupId, firstId: first.id, lastId: last.id },
    group,
    chunks,
    sums: rows.reduce((sums, row) => plus(sums, { ...row, batches: 1 }), NOTHING),
    queuedAt: first.queuedAt,
    next,
  };
}
