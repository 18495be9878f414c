import type { EventBatch, QueueDepth } from "../log-events/event-queue.ts";
import { decodeEvents, encodeEvents, sealOf } from "./event-spool-body.ts";
import type { SpoolHead, SpoolRows } from "./event-spool-calls.ts";
import type { SqlRow, Statements } from "./statements.ts";

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

const FACTS = "id, group_id, queued_at, events, bytes, size";

/** The batches of the spool, in SQL. */
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

  /** Undefined, and nothing is written, where it would be larger than `maxSize`. */
  insert(groupId: number, { events, bytes, queuedAt }: EventBatch, maxSize: number): SpoolRow | undefined {
    const { zstd, body } = encodeEvents(events);
    const size = body.length + ROW_BYTES;
    if (size > maxSize) return undefined;
    const facts = [groupId, queuedAt, events.length, bytes, size] as const;
    const { kept } = this;
    const sql =
      "INSERT INTO batch (group_id, queued_at, events, bytes, size, zstd, seal, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    const { lastInsertRowid } = this.#statements.run(
      sql,
      ...facts,
      Number(zstd),
      sealOf(body, ...facts),
      body,
    );
    this.#kept = plus(kept, { batches: 1, events: events.length, bytes, size });
    return { id: Number(lastInsertRowid), groupId, queuedAt, events: events.length, bytes, size };
  }

  /** Undefined where the row is damaged. */
  eventsOf(id: number): string[] | undefined {
    const row = this.#statements.get(`SELECT ${FACTS}, zstd, seal, body FROM batch WHERE id = ?`, id);
    const body = row?.["body"];
    if (row === undefined || !(body instanceof Uint8Array)) return undefined;
    const { groupId, queuedAt, events, bytes, size } = rowOf(row);
    if (sealOf(body, groupId, queuedAt, events, bytes, size) !== row["seal"]) return undefined;
    try {
      const texts = decodeEvents({ zstd: row["zstd"] === 1, body });
      return texts.length === events ? texts : undefined;
    } catch {
      return undefined;
    }
  }

  /** Leaves the row only these of its events; says how much is gone. */
  shorten(row: SpoolRow, rest: readonly string[]): SpoolSums {
    const { zstd, body } = encodeEvents(rest);
    const bytes = rest.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    const facts = [row.groupId, row.queuedAt, rest.length, bytes, body.length + ROW_BYTES] as const;
    const sql = `UPDATE batch SET group_id = ?, queued_at = ?, events = ?, bytes = ?, size = ?, zstd = ?, seal = ?,
      body = ? WHERE id = ?`;
    this.#statements.run(sql, ...facts, Number(zstd), sealOf(body, ...facts), body, row.id);
    const [, , events, , size] = facts;
    return this.#gone({
      batches: 0,
      events: row.events - events,
      bytes: row.bytes - bytes,
      size: row.size - size,
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
    this.#kept = this.#kept && plus(this.#kept, sums, -1);
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

export const plus = (a: SpoolSums, b: SpoolSums, times = 1): SpoolSums => ({
  batches: a.batches + times * b.batches,
  events: a.events + times * b.events,
  bytes: a.bytes + times * b.bytes,
  size: a.size + times * b.size,
});

const rangeOf = ({ groupId, firstId, lastId }: SpoolRows) => [groupId, firstId, lastId] as const;
