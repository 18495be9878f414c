import { hash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { parseSdkKey } from "../access/sdk-key.ts";
import type { EventChunk } from "../log-events/chunk.ts";
import { type EventBatch, type EventGroup, identifyGroup } from "../log-events/queue.ts";
import { Statements, transact } from "../sqlite/database.ts";
import {
  rowsFrom,
  type SpoolClaimed,
  type SpoolDrop,
  type SpoolGroup,
  type SpoolHead,
  type SpoolLimits,
  type SpoolPlace,
  type SpoolRows,
} from "./calls.ts";
import type { SpoolDropReason } from "./events.ts";
import { addSums, NO_ROWS, type SpoolRow, SpoolRowTable, type SpoolSums, storedSize } from "./rows.ts";

interface SpoolPut {
  readonly places: readonly SpoolPlace[];
  readonly dropped: readonly SpoolDrop[];
}

/** The operations of the spool on its tables. Every method that changes them is one transaction. */
export class SpoolTable {
  readonly #db: DatabaseSync;
  readonly #limits: SpoolLimits;
  readonly #groups: SpoolGroups;
  readonly #rows: SpoolRowTable;

  constructor(db: DatabaseSync, limits: SpoolLimits) {
    const statements = new Statements(db);
    this.#db = db;
    this.#limits = limits;
    this.#groups = new SpoolGroups(statements);
    this.#rows = new SpoolRowTable(statements);
  }

  get storedBytes(): number {
    return this.#rows.totals.size;
  }

  groups(): SpoolGroup[] {
    return this.#rows.groups();
  }

  /** Stores the batches, and drops the oldest rows until the limits are met; never claimed rows or the newest batch. */
  put(batches: readonly EventBatch[], claimed: readonly SpoolRows[]): SpoolPut {
    return this.#transact(() => {
      const places = batches.map((batch) => this.#insert(batch));
      const newestId = Math.max(...places.map((place) => place?.id ?? 0));
      const { maxBytes, maxBatches } = this.#limits;
      const dropped = dropOldest(this.#rows, this.#groups, "size", claimed, ({ id }) => {
        const { size, batches } = this.#rows.totals;
        return id < newestId && (size > maxBytes || batches > maxBatches);
      });
      return { places, dropped };
    });
  }

  /** Drops rows that were put before `deadline` (ms since the Unix epoch), but no claimed rows. */
  expire(deadline: number, claimed: readonly SpoolRows[]): SpoolDrop[] {
    return this.#transact(() =>
      dropOldest(this.#rows, this.#groups, "age", claimed, ({ queuedAt }) => queuedAt < deadline),
    );
  }

  claim(request: ClaimRequest): ClaimResult {
    return this.#transact(() => claimRows(this.#rows, this.#groups, request));
  }

  /** Deletes the first `count` events of the rows, or all of them if undefined. */
  delete(rows: SpoolRows, count: number | undefined): DeleteResult {
    return this.#transact(() => deleteEvents(this.#rows, this.#groups, rows, count));
  }

  holdsNothingBut(ranges: readonly SpoolRows[]): boolean {
    const batches = ranges.reduce((sum, rows) => sum + this.#rows.sums(rows).batches, 0);
    return this.#rows.totals.batches === batches;
  }

  /** Returns disk space to the system if the spool is empty. */
  shrink(): void {
    if (this.#rows.totals.batches === 0) this.#db.exec("VACUUM");
  }

  /** Inserts all chunks of the batch. Returns undefined, and inserts none, if it alone is above the size limit. */
  #insert({ group, chunks, queuedAt }: EventBatch): SpoolPlace {
    const size = chunks.reduce((sum, { body }) => sum + storedSize(body), 0);
    if (size > this.#limits.maxBytes) return undefined;
    const groupId = this.#groups.findOrInsert(group);
    const [first] = chunks.map((chunk) => this.#rows.insert(groupId, chunk, queuedAt));
    return first && { groupId, id: first.id };
  }

  #transact<T>(work: () => T): T {
    try {
      return transact(this.#db, work);
    } catch (error) {
      this.#rows.resetTotals();
      throw error;
    }
  }
}

/**
 * The table `event_group`. It contains SDK keys in plain text: they are needed to forward the events after a restart, and there
 * is no other secret to encrypt them with. The file mode protects them.
 */
class SpoolGroups {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  /** Returns the row id of the group. */
  findOrInsert(group: EventGroup): number {
    const identity = identifyGroup(group);
    const digest = sha256(identity);
    const row = this.#statements.get("SELECT id FROM event_group WHERE digest = ?", digest);
    if (row !== undefined) return Number(row["id"]);
    const sql = "INSERT INTO event_group (digest, identity) VALUES (?, ?)";
    return Number(this.#statements.run(sql, digest, identity).lastInsertRowid);
  }

  /** Returns undefined if the row is corrupt or missing. */
  read(id: number): EventGroup | undefined {
    const row = this.#statements.get("SELECT digest, identity FROM event_group WHERE id = ?", id);
    const identity = String(row?.["identity"]);
    const digest = row?.["digest"];
    if (!(digest instanceof Uint8Array) || !sha256(identity).equals(digest)) return undefined;
    const [key, metadata, headers]: [string, string, [string, string][]] = JSON.parse(identity);
    const sdkKey = parseSdkKey(key);
    return sdkKey && { sdkKey, metadata, headers: Object.fromEntries(headers) };
  }

  /** Deletes the group if it has no rows left. */
  deleteIfEmpty(id: number): void {
    const sql =
      "DELETE FROM event_group WHERE id = ? AND NOT EXISTS (SELECT 1 FROM batch WHERE group_id = ?)";
    this.#statements.run(sql, id, id);
  }
}

const sha256 = (text: string): Buffer => hash("sha256", text, "buffer");

interface Dropped {
  readonly firstId: number;
  readonly lastId: number;
  readonly sums: SpoolSums;
}

/** Deletes the oldest rows while `mustDrop` returns true for the next one. Skips claimed rows: they are being sent. */
function dropOldest(
  rows: SpoolRowTable,
  groups: SpoolGroups,
  reason: SpoolDropReason,
  claimed: readonly SpoolRows[],
  mustDrop: (row: SpoolRow) => boolean,
): SpoolDrop[] {
  const lastClaimed = new Map<number, number>();
  for (const { groupId, lastId } of claimed) {
    lastClaimed.set(groupId, Math.max(lastId, lastClaimed.get(groupId) ?? 0));
  }
  const dropped = new Map<number, Dropped>();
  for (const row of rows.oldestFirst()) {
    const { groupId, id } = row;
    if (id <= (lastClaimed.get(groupId) ?? 0)) continue;
    if (!mustDrop(row)) break;
    const { firstId, sums } = dropped.get(groupId) ?? { firstId: id, sums: NO_ROWS };
    dropped.set(groupId, { firstId, lastId: id, sums: addSums(sums, rows.delete(row)) });
  }
  return [...dropped].map(([groupId, { firstId, lastId, sums }]) => {
    groups.deleteIfEmpty(groupId);
    return { reason, groupId, firstId, sums, head: rows.head(rowsFrom(groupId, lastId + 1)) };
  });
}

interface ClaimRequest {
  readonly groupId: number;
  readonly fromId: number;
  readonly maxEvents: number;
  readonly maxBytes: number;
}

interface ClaimResult {
  /** Undefined if the group has no usable rows. */
  readonly claimed: SpoolClaimed | undefined;
  /** Corrupt rows that were deleted. */
  readonly dropped: readonly SpoolDrop[];
}

/** Reads the oldest rows of a group that fit the limits, at least one, and deletes corrupt rows before and among them. */
function claimRows(rows: SpoolRowTable, groups: SpoolGroups, request: ClaimRequest): ClaimResult {
  const { groupId } = request;
  const group = groups.read(groupId);
  const dropped: SpoolDrop[] = [];
  for (;;) {
    const fitting = listFitting(rows, request);
    const last = fitting.at(-1);
    if (last === undefined) {
      groups.deleteIfEmpty(groupId);
      return { claimed: undefined, dropped };
    }
    const next = rows.head(rowsFrom(groupId, last.id + 1));
    const intact: SpoolRow[] = [];
    const chunks = fitting.flatMap((row) => {
      const chunk = group && rows.readChunk(row.id);
      if (chunk !== undefined) intact.push(row);
      else dropped.push({ reason: "damage", groupId, firstId: row.id, sums: rows.delete(row), head: next });
      return chunk ?? [];
    });
    const claimed = group && toClaimed(group, intact, chunks, next);
    if (claimed !== undefined) return { claimed, dropped };
  }
}

/** Lists the rows to claim, without reading their bodies. */
function listFitting(
  rows: SpoolRowTable,
  { groupId, fromId, maxEvents, maxBytes }: ClaimRequest,
): SpoolRow[] {
  let [events, bytes] = [0, 0];
  const candidates = rows.list(rowsFrom(groupId, fromId), Math.max(1, maxEvents));
  const end = candidates.findIndex((row, at) => {
    events += row.events;
    bytes += row.bytes;
    return at > 0 && (events > maxEvents || bytes > maxBytes);
  });
  return end === -1 ? candidates : candidates.slice(0, end);
}

function toClaimed(
  group: EventGroup,
  rows: readonly SpoolRow[],
  chunks: readonly EventChunk[],
  next: SpoolClaimed["next"],
): SpoolClaimed | undefined {
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  return {
    rows: { groupId: first.groupId, firstId: first.id, lastId: last.id },
    group,
    chunks,
    sums: rows.reduce((sums, row) => addSums(sums, { ...row, batches: 1 }), NO_ROWS),
    queuedAt: first.queuedAt,
    next,
  };
}

interface DeleteResult {
  readonly sums: SpoolSums;
  /** The first of the rows that is left. */
  readonly first: SpoolHead | undefined;
}

function deleteEvents(
  rows: SpoolRowTable,
  groups: SpoolGroups,
  range: SpoolRows,
  count: number | undefined,
): DeleteResult {
  const sums = count === undefined ? rows.deleteAll(range) : deleteFirst(rows, range, count);
  groups.deleteIfEmpty(range.groupId);
  return { sums, first: rows.head(range) };
}

function deleteFirst(rows: SpoolRowTable, range: SpoolRows, count: number): SpoolSums {
  let sums = NO_ROWS;
  for (const row of rows.list(range, Math.max(1, count))) {
    const left = count - sums.events;
    if (left <= 0) break;
    const chunk = row.events > left ? rows.readChunk(row.id) : undefined;
    // A row that has become corrupt since it was claimed is deleted whole: it could not be claimed again.
    sums = addSums(sums, chunk === undefined ? rows.delete(row) : rows.deleteFirst(row, chunk, left));
  }
  return sums;
}
