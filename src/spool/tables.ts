import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { parseSdkKey } from "../access/sdk-key.ts";
import type { EventChunk } from "../log-events/chunk.ts";
import type { EventBatch, EventGroup } from "../log-events/queue.ts";
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
import { addSums, NOTHING, rowBytes, type SpoolRow, SpoolRowTable, type SpoolSums } from "./rows.ts";

interface SpoolPut {
  readonly places: readonly SpoolPlace[];
  readonly dropped: readonly SpoolDrop[];
}

/** What is done with the tables of the spool: every method is one transaction. */
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
    return this.#rows.kept.size;
  }

  groups(): SpoolGroup[] {
    return this.#rows.groups();
  }

  /** The oldest of what is there makes room. */
  put(batches: readonly EventBatch[], taken: readonly SpoolRows[]): SpoolPut {
    return this.#transact(() => {
      const places = batches.map((batch) => this.#insert(batch));
      const newestId = Math.max(...places.map((place) => place?.id ?? 0));
      const { maxBytes, maxBatches } = this.#limits;
      const dropped = dropOldest(this.#rows, this.#groups, "size", taken, ({ id }) => {
        const { size, batches } = this.#rows.kept;
        return id < newestId && (size > maxBytes || batches > maxBatches);
      });
      return { places, dropped };
    });
  }

  /** Gives up what was put before `deadline`. */
  expire(deadline: number, taken: readonly SpoolRows[]): SpoolDrop[] {
    return this.#transact(() =>
      dropOldest(this.#rows, this.#groups, "age", taken, ({ queuedAt }) => queuedAt < deadline),
    );
  }

  take(take: SpoolTake): SpoolTakeResult {
    return this.#transact(() => takeRows(this.#rows, this.#groups, take));
  }

  remove(rows: SpoolRows, count: number | undefined): SpoolRemoved {
    return this.#transact(() => removeEvents(this.#rows, this.#groups, rows, count));
  }

  holdsNothingBut(gone: readonly SpoolRows[]): boolean {
    const batches = gone.reduce((sum, rows) => sum + this.#rows.sums(rows).batches, 0);
    return this.#rows.kept.batches === batches;
  }

  /** An empty file need not keep the room that it once had. */
  shrink(): void {
    if (this.#rows.kept.batches === 0) this.#db.exec("VACUUM");
  }

  /** All of its chunks, or none. */
  #insert({ group, chunks, queuedAt }: EventBatch): SpoolPlace {
    const size = chunks.reduce((sum, { body }) => sum + rowBytes(body), 0);
    if (size > this.#limits.maxBytes) return undefined;
    const groupId = this.#groups.idOf(group);
    const [first] = chunks.map((chunk) => this.#rows.insert(groupId, chunk, queuedAt));
    return first && { groupId, id: first.id };
  }

  #transact<T>(work: () => T): T {
    try {
      return transact(this.#db, work);
    } catch (error) {
      this.#rows.forgetKept();
      throw error;
    }
  }
}

/**
 * The groups of the spool, in SQL. The SDK key is kept as it is, since it is needed to forward the events after
 * a restart, and there is no other secret to encrypt it with: the mode of the file is what protects it.
 */
class SpoolGroups {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  /** The id of the group, made where there is none. */
  idOf(group: EventGroup): number {
    const identity = identityOf(group);
    const digest = digestOf(identity);
    const row = this.#statements.get("SELECT id FROM event_group WHERE digest = ?", digest);
    if (row !== undefined) return Number(row["id"]);
    const sql = "INSERT INTO event_group (digest, identity) VALUES (?, ?)";
    return Number(this.#statements.run(sql, digest, identity).lastInsertRowid);
  }

  /** Undefined where it is damaged, or not there. */
  read(id: number): EventGroup | undefined {
    const row = this.#statements.get("SELECT digest, identity FROM event_group WHERE id = ?", id);
    const identity = String(row?.["identity"]);
    const digest = row?.["digest"];
    if (!(digest instanceof Uint8Array) || !digestOf(identity).equals(digest)) return undefined;
    const [key, metadata, headers]: [string, string, [string, string][]] = JSON.parse(identity);
    const sdkKey = parseSdkKey(key);
    return sdkKey && { sdkKey, metadata, headers: Object.fromEntries(headers) };
  }

  /** Where there is no batch left of it. */
  removeEmpty(id: number): void {
    const sql =
      "DELETE FROM event_group WHERE id = ? AND NOT EXISTS (SELECT 1 FROM batch WHERE group_id = ?)";
    this.#statements.run(sql, id, id);
  }
}

/** The same for groups that say the same, whatever the order of the headers. */
function identityOf({ sdkKey, metadata, headers }: EventGroup): string {
  const sorted = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([sdkKey, metadata, sorted]);
}

const digestOf = (identity: string): Buffer => createHash("sha256").update(identity).digest();

interface Dropped {
  readonly firstId: number;
  readonly lastId: number;
  readonly sums: SpoolSums;
}

/**
 * Gives up the oldest rows for as long as `goes` says so of the next. Never those that are taken: they are on
 * their way.
 */
function dropOldest(
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
      sums: addSums(before.sums, rows.delete(row)),
    });
  }
  return [...dropped].map(([groupId, { firstId, lastId, sums }]) => {
    groups.removeEmpty(groupId);
    return { reason, groupId, firstId, sums, head: rows.head(rowsFrom(groupId, lastId + 1)) };
  });
}

interface SpoolTake {
  readonly groupId: number;
  readonly fromId: number;
  readonly maxEvents: number;
  readonly maxBytes: number;
}

interface SpoolTakeResult {
  /** Undefined where there is nothing of the group. */
  readonly taken: SpoolClaimed | undefined;
  /** What was found to be damaged on the way. */
  readonly dropped: readonly SpoolDrop[];
}

/** The oldest rows of a group that fit the limits, at least one. */
function takeRows(rows: SpoolRowTable, groups: SpoolGroups, take: SpoolTake): SpoolTakeResult {
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
  next: SpoolClaimed["next"],
): SpoolClaimed | undefined {
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  return {
    rows: { groupId: first.groupId, firstId: first.id, lastId: last.id },
    group,
    chunks,
    sums: rows.reduce((sums, row) => addSums(sums, { ...row, batches: 1 }), NOTHING),
    queuedAt: first.queuedAt,
    next,
  };
}

interface SpoolRemoved {
  readonly sums: SpoolSums;
  /** What is left of the rows begins here. */
  readonly first: SpoolHead | undefined;
}

/** The first `count` events of the rows go, or all of them. */
function removeEvents(
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
    sums = addSums(sums, chunk === undefined ? rows.delete(row) : rows.shorten(row, chunk, left));
  }
  return sums;
}
