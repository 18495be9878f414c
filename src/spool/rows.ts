import { crc32 } from "node:zlib";
import { type EventChunk, splitChunk } from "../log-events/chunk.ts";
import type { QueueDepth } from "../log-events/queue.ts";
import type { DatabaseSchema, SqlRow, Statements } from "../sqlite/database.ts";
import type { SpoolHead, SpoolRows } from "./calls.ts";

/** A row without its body. */
export interface SpoolRow {
  readonly id: number;
  readonly groupId: number;
  readonly queuedAt: number;
  readonly events: number;
  readonly bytes: number;
  readonly size: number;
}

export interface SpoolSums extends QueueDepth {
  readonly size: number;
}

/** What a row takes in the file beside its body: its columns, its entry in the index, the unused ends of pages. */
const ROW_BYTES = 200;

/** What a row with this body counts for. */
export const rowBytes = (body: Uint8Array): number => body.length + ROW_BYTES;

/** A checksum of all that is in a row: SQLite has none. */
const sealOf = (body: Uint8Array, zstd: boolean, facts: readonly number[]): number =>
  crc32(body, crc32([Number(zstd), ...facts].join(",")));

const FACTS = "id, group_id, queued_at, events, bytes, size";

/** The chunks of the spool, in SQL. */
export class SpoolRowTable {
  readonly #statements: Statements;
  /** Of all rows; undefined where they must be added up. */
  #kept: SpoolSums | undefined;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  get kept(): SpoolSums {
    this.#kept ??= sumsOf(this.#statements.get(`SELECT ${SUMS} FROM batch`));
    return this.#kept;
  }

  /** What was done may have been undone. */
  forgetKept(): void {
    this.#kept = undefined;
  }

  insert(groupId: number, { count, bytes, zstd, body }: EventChunk, queuedAt: number): SpoolRow {
    const size = rowBytes(body);
    const facts = [groupId, queuedAt, count, bytes, size] as const;
    const { kept } = this;
    const sql =
      "INSERT INTO batch (group_id, queued_at, events, bytes, size, zstd, seal, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    const seal = sealOf(body, zstd, facts);
    const { lastInsertRowid } = this.#statements.run(sql, ...facts, Number(zstd), seal, body);
    this.#kept = addSums(kept, { batches: 1, events: count, bytes, size });
    return { id: Number(lastInsertRowid), groupId, queuedAt, events: count, bytes, size };
  }

  /** Undefined where the row is damaged. */
  chunkOf(id: number): EventChunk | undefined {
    const row = this.#statements.get(`SELECT ${FACTS}, zstd, seal, body FROM batch WHERE id = ?`, id);
    const body = row?.["body"];
    if (row === undefined || !(body instanceof Uint8Array)) return undefined;
    const { groupId, queuedAt, events: count, bytes, size } = rowOf(row);
    const zstd = row["zstd"] === 1;
    if (sealOf(body, zstd, [groupId, queuedAt, count, bytes, size]) !== row["seal"]) return undefined;
    return { count, bytes, zstd, body: new Uint8Array(body) };
  }

  /** Takes the first `count` of its events from the row, which has more; says how much is gone. */
  shorten(row: SpoolRow, chunk: EventChunk, count: number): SpoolSums {
    const [gone, { count: events, bytes, zstd, body }] = splitChunk(chunk, count);
    const facts = [row.groupId, row.queuedAt, events, bytes, rowBytes(body)] as const;
    const sql = `UPDATE batch SET group_id = ?, queued_at = ?, events = ?, bytes = ?, size = ?, zstd = ?, seal = ?,
      body = ? WHERE id = ?`;
    this.#statements.run(sql, ...facts, Number(zstd), sealOf(body, zstd, facts), body, row.id);
    return this.#gone({
      batches: 0,
      events: gone.count,
      bytes: gone.bytes,
      size: row.size - rowBytes(body),
    });
  }

  delete(row: SpoolRow): SpoolSums {
    this.#statements.run("DELETE FROM batch WHERE id = ?", row.id);
    return this.#gone({ batches: 1, events: row.events, bytes: row.bytes, size: row.size });
  }

  deleteAll(rows: SpoolRows): SpoolSums {
    const sums = this.sums(rows);
    this.#statements.run(`DELETE FROM batch ${IN_RANGE}`, ...rangeOf(rows));
    return this.#gone(sums);
  }

  #gone(sums: SpoolSums): SpoolSums {
    this.#kept = this.#kept && addSums(this.#kept, sums, -1);
    return sums;
  }

  sums(rows: SpoolRows): SpoolSums {
    return sumsOf(this.#statements.get(`SELECT ${SUMS} FROM batch ${IN_RANGE}`, ...rangeOf(rows)));
  }

  /** The oldest of a group. */
  list(rows: SpoolRows, limit: number): SpoolRow[] {
    const sql = `SELECT ${FACTS} FROM batch ${IN_RANGE} ORDER BY id LIMIT ?`;
    return this.#statements.all(sql, ...rangeOf(rows), limit).map(rowOf);
  }

  /** Of all groups; they may be deleted meanwhile. */
  *oldestFirst(): Generator<SpoolRow> {
    let lastId = -1;
    for (let limit = 8; ; limit = Math.min(limit * 2, 512)) {
      const sql = `SELECT ${FACTS} FROM batch WHERE id > ? ORDER BY id LIMIT ?`;
      const rows = this.#statements.all(sql, lastId, limit).map(rowOf);
      yield* rows;
      if (rows.length < limit) return;
      lastId = rows.at(-1)?.id ?? lastId;
    }
  }

  head(rows: SpoolRows): SpoolHead | undefined {
    const [row] = this.list(rows, 1);
    return row && { id: row.id, queuedAt: row.queuedAt };
  }

  /** By group. Goes through the index whole. */
  groups() {
    // The bare column is that of the row with the smallest id: SQLite says so of min() and max().
    const sql = `SELECT group_id, min(id) AS id, queued_at, ${SUMS} FROM batch GROUP BY group_id`;
    return this.#statements.all(sql).map((row) => {
      const { batches, events, bytes } = sumsOf(row);
      const head = { id: Number(row["id"]), queuedAt: Number(row["queued_at"]) };
      return { groupId: Number(row["group_id"]), batches, events, bytes, head };
    });
  }
}

const IN_RANGE = "WHERE group_id = ? AND id BETWEEN ? AND ?";
const SUMS = "count(*) AS batches, total(events) AS events, total(bytes) AS bytes, total(size) AS size";

const sumsOf = (row: SqlRow | undefined): SpoolSums => ({
  batches: Number(row?.["batches"]),
  events: Number(row?.["events"]),
  bytes: Number(row?.["bytes"]),
  size: Number(row?.["size"]),
});

const rowOf = (row: SqlRow): SpoolRow => ({
  id: Number(row["id"]),
  groupId: Number(row["group_id"]),
  queuedAt: Number(row["queued_at"]),
  events: Number(row["events"]),
  bytes: Number(row["bytes"]),
  size: Number(row["size"]),
});

export const NOTHING: SpoolSums = { batches: 0, events: 0, bytes: 0, size: 0 };

export const addSums = (a: SpoolSums, b: SpoolSums, times = 1): SpoolSums => ({
  batches: a.batches + times * b.batches,
  events: a.events + times * b.events,
  bytes: a.bytes + times * b.bytes,
  size: a.size + times * b.size,
});

const rangeOf = ({ groupId, firstId, lastId }: SpoolRows) => [groupId, firstId, lastId] as const;

/**
 * A group is kept as long as it has rows in `batch`, each of which is one chunk of events. They are in the order of
 * their ids, which is that of the puts.
 * `size` is what the row counts for in the bound. By the index, whoever takes, removes or adds up need not go
 * past the bodies.
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
  schema: SCHEMA,
  probe: `SELECT id, digest, identity FROM event_group LIMIT 0;
    SELECT id, group_id, queued_at, events, bytes, size, zstd, seal, body FROM batch LIMIT 0`,
  // Two relays that forward from one spool would send everything twice.
  exclusive: true,
};
