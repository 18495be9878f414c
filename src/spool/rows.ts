import { crc32 } from "node:zlib";
import { type EventChunk, splitChunk } from "../log-events/chunk.ts";
import type { QueueDepth } from "../log-events/queue.ts";
import type { DatabaseSchema, SqlRow, Statements } from "../sqlite/database.ts";
import type { SpoolGroup, SpoolHead, SpoolRows } from "./calls.ts";

/** A row of the table `batch` without its body. */
export interface SpoolRow {
  readonly id: number;
  readonly groupId: number;
  /** Ms since the Unix epoch. */
  readonly queuedAt: number;
  readonly events: number;
  /** UTF-8 bytes of the events, uncompressed. */
  readonly bytes: number;
  /** The stored size, see {@link storedSize}. */
  readonly size: number;
}

export interface SpoolSums extends QueueDepth {
  readonly size: number;
}

/** Bytes of a row in the file besides its body: its columns, its index entry, and unused space at the end of pages. */
const ROW_OVERHEAD_BYTES = 200;

/** Returns the bytes that a row with this body counts towards the size limit. */
export const storedSize = (body: Uint8Array): number => body.length + ROW_OVERHEAD_BYTES;

/** Returns a checksum of the whole row, since SQLite has none. */
const checksum = (body: Uint8Array, zstd: boolean, numbers: readonly number[]): number =>
  crc32(body, crc32([Number(zstd), ...numbers].join(",")));

const COLUMNS = "id, group_id, queued_at, events, bytes, size";

/** The table `batch`: one row per chunk of events. */
export class SpoolRowTable {
  readonly #statements: Statements;
  /** The totals of all rows. Undefined until they are queried. */
  #totals: SpoolSums | undefined;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  get totals(): SpoolSums {
    this.#totals ??= parseSums(this.#statements.get(`SELECT ${SUMS} FROM batch`));
    return this.#totals;
  }

  /** Call this after a rollback: the cached totals include changes that were undone. */
  resetTotals(): void {
    this.#totals = undefined;
  }

  insert(groupId: number, { count, bytes, zstd, body }: EventChunk, queuedAt: number): SpoolRow {
    const size = storedSize(body);
    const numbers = [groupId, queuedAt, count, bytes, size] as const;
    const { totals } = this;
    const sql =
      "INSERT INTO batch (group_id, queued_at, events, bytes, size, zstd, seal, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    const sum = checksum(body, zstd, numbers);
    const { lastInsertRowid } = this.#statements.run(sql, ...numbers, Number(zstd), sum, body);
    this.#totals = addSums(totals, { batches: 1, events: count, bytes, size });
    return { id: Number(lastInsertRowid), groupId, queuedAt, events: count, bytes, size };
  }

  /** Returns undefined if the row is corrupt. */
  readChunk(id: number): EventChunk | undefined {
    const row = this.#statements.get(`SELECT ${COLUMNS}, zstd, seal, body FROM batch WHERE id = ?`, id);
    const body = row?.["body"];
    if (row === undefined || !(body instanceof Uint8Array)) return undefined;
    const { groupId, queuedAt, events: count, bytes, size } = parseRow(row);
    const zstd = row["zstd"] === 1;
    if (checksum(body, zstd, [groupId, queuedAt, count, bytes, size]) !== row["seal"]) return undefined;
    return { count, bytes, zstd, body: new Uint8Array(body) };
  }

  /** Deletes the first `count` events of a row that has more. Returns what was deleted. */
  deleteFirst(row: SpoolRow, chunk: EventChunk, count: number): SpoolSums {
    const [deleted, { count: events, bytes, zstd, body }] = splitChunk(chunk, count);
    const numbers = [row.groupId, row.queuedAt, events, bytes, storedSize(body)] as const;
    const sql = `UPDATE batch SET group_id = ?, queued_at = ?, events = ?, bytes = ?, size = ?, zstd = ?, seal = ?,
      body = ? WHERE id = ?`;
    this.#statements.run(sql, ...numbers, Number(zstd), checksum(body, zstd, numbers), body, row.id);
    return this.#subtract({
      batches: 0,
      events: deleted.count,
      bytes: deleted.bytes,
      size: row.size - storedSize(body),
    });
  }

  delete(row: SpoolRow): SpoolSums {
    this.#statements.run("DELETE FROM batch WHERE id = ?", row.id);
    return this.#subtract({ batches: 1, events: row.events, bytes: row.bytes, size: row.size });
  }

  deleteAll(rows: SpoolRows): SpoolSums {
    const sums = this.sums(rows);
    this.#statements.run(`DELETE FROM batch ${IN_RANGE}`, ...toRange(rows));
    return this.#subtract(sums);
  }

  #subtract(sums: SpoolSums): SpoolSums {
    this.#totals = this.#totals && addSums(this.#totals, sums, -1);
    return sums;
  }

  sums(rows: SpoolRows): SpoolSums {
    return parseSums(this.#statements.get(`SELECT ${SUMS} FROM batch ${IN_RANGE}`, ...toRange(rows)));
  }

  /** Lists rows from the oldest on. */
  list(rows: SpoolRows, limit: number): SpoolRow[] {
    const sql = `SELECT ${COLUMNS} FROM batch ${IN_RANGE} ORDER BY id LIMIT ?`;
    return this.#statements.all(sql, ...toRange(rows), limit).map(parseRow);
  }

  /** Iterates over the rows of all groups. The caller may delete rows meanwhile. */
  *oldestFirst(): Generator<SpoolRow> {
    let lastId = -1;
    for (let limit = 8; ; limit = Math.min(limit * 2, 512)) {
      const sql = `SELECT ${COLUMNS} FROM batch WHERE id > ? ORDER BY id LIMIT ?`;
      const rows = this.#statements.all(sql, lastId, limit).map(parseRow);
      yield* rows;
      if (rows.length < limit) return;
      lastId = rows.at(-1)?.id ?? lastId;
    }
  }

  /** Returns the oldest of the rows, or undefined if none is left. */
  head(rows: SpoolRows): SpoolHead | undefined {
    const [row] = this.list(rows, 1);
    return row && { id: row.id, queuedAt: row.queuedAt };
  }

  /** Lists all groups. Scans the whole index. */
  groups(): SpoolGroup[] {
    // With min(), SQLite takes the bare column queued_at from the row with the smallest id.
    const sql = `SELECT group_id, min(id) AS id, queued_at, ${SUMS} FROM batch GROUP BY group_id`;
    return this.#statements.all(sql).map((row) => {
      const { batches, events, bytes } = parseSums(row);
      const head = { id: Number(row["id"]), queuedAt: Number(row["queued_at"]) };
      return { groupId: Number(row["group_id"]), batches, events, bytes, head };
    });
  }
}

const IN_RANGE = "WHERE group_id = ? AND id BETWEEN ? AND ?";
const SUMS = "count(*) AS batches, total(events) AS events, total(bytes) AS bytes, total(size) AS size";

const parseSums = (row: SqlRow | undefined): SpoolSums => ({
  batches: Number(row?.["batches"]),
  events: Number(row?.["events"]),
  bytes: Number(row?.["bytes"]),
  size: Number(row?.["size"]),
});

const parseRow = (row: SqlRow): SpoolRow => ({
  id: Number(row["id"]),
  groupId: Number(row["group_id"]),
  queuedAt: Number(row["queued_at"]),
  events: Number(row["events"]),
  bytes: Number(row["bytes"]),
  size: Number(row["size"]),
});

export const NO_ROWS: SpoolSums = { batches: 0, events: 0, bytes: 0, size: 0 };

export const addSums = (a: SpoolSums, b: SpoolSums, times = 1): SpoolSums => ({
  batches: a.batches + times * b.batches,
  events: a.events + times * b.events,
  bytes: a.bytes + times * b.bytes,
  size: a.size + times * b.size,
});

const toRange = ({ groupId, firstId, lastId }: SpoolRows) => [groupId, firstId, lastId] as const;

/**
 * A group is deleted with its last row in `batch`. Rows are ordered by id, which is the order in which they were put. `seal` is
 * the row's checksum. The index covers every query but the one that reads a body, so that none has to skip over the bodies.
 */
const SCHEMA = `
  CREATE TABLE event_group (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    identity TEXT NOT NULL
  ) STRICT;
  CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    group_id INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    size INTEGER NOT NULL,
    zstd INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE INDEX batch_by_group ON batch (group_id, id, queued_at, events, bytes, size);
`;

export const spoolSchema: DatabaseSchema = {
  // "SFE1"
  applicationId: 0x53464531,
  version: 2,
  tables: SCHEMA,
  probe: `SELECT id, digest, identity FROM event_group LIMIT 0;
    SELECT id, group_id, queued_at, events, bytes, size, zstd, seal, body FROM batch LIMIT 0`,
  // Two relays that forward from one spool would send each event twice.
  exclusive: true,
};
