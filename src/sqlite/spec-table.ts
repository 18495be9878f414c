import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { SpecFormat } from "../specs/feed.ts";
import type { LocalAction, LocalLimits, LocalOutcome, LocalWrite, StoredVersion } from "./backup-calls.ts";
import { OWN, type RelaySlots, SpecUsers, UNUSED } from "./backup-users.ts";
import {
  type DatabaseSchema,
  SQLITE,
  type SqlRow,
  Statements,
  sqliteResult,
  toOwnBuffer,
  transact,
} from "./database.ts";
import { HistoryTable } from "./history-table.ts";
import { PinTable } from "./pin-table.ts";

/** `used_at` is updated at most once in this time, because an update costs a commit. */
const USED_AT_PRECISION_MS = 10 * 60_000;
/** How far the clocks of relays that share a file may differ. */
const CLOCK_TOLERANCE_MS = 60_000;

interface WriteResult {
  readonly outcome: LocalOutcome;
  readonly replacedDamage: boolean;
  /** The number of versions deleted to stay within the limits. */
  readonly evicted: number;
}

type ReadAction = Extract<LocalAction, { kind: "read" }>;

/** The table `spec`: the newest version of each feed. */
export class SpecTable {
  readonly #db: DatabaseSync;
  readonly #limits: LocalLimits;
  readonly #statements: Statements;
  readonly #users: SpecUsers;
  readonly #histories: HistoryTable;
  readonly #pins: PinTable;

  constructor(db: DatabaseSync, limits: LocalLimits, slots: RelaySlots) {
    this.#db = db;
    this.#limits = limits;
    this.#statements = new Statements(db);
    this.#users = new SpecUsers(db, slots);
    this.#histories = new HistoryTable(db);
    this.#pins = new PinTable(db);
  }

  readPins(): LocalOutcome {
    const text = this.#pins.read();
    return text === undefined ? { kind: "none" } : { kind: "found_pins", text };
  }

  replacePins(expected: string | undefined, text: string): LocalOutcome {
    return { kind: this.#pins.replace(expected, text) ? "done" : "none" };
  }

  /** Writes nothing unless the row is corrupt, so that a file that can't be written can still be read. */
  read({ feedDigest, newerThan, maxBytes }: ReadAction): LocalOutcome {
    // SQLite determines the length without reading the body.
    const length = "SELECT length(body) AS bytes FROM spec WHERE feed = ? AND lcut > ?";
    if (Number(this.#statements.get(length, feedDigest, newerThan)?.["bytes"]) > maxBytes)
      return { kind: "too_large" };
    const row = this.#find(feedDigest, newerThan);
    if (row === undefined) return { kind: "none" };
    if (row.version === undefined) {
      this.#delete(feedDigest);
      return { kind: "damaged" };
    }
    const history = this.#findHistory(feedDigest);
    return { kind: "found", version: { ...row.version, ...(history && { history }) } };
  }

  /** A version is of use without its history. If the file is corrupt, the next write finds that. */
  #findHistory(feedDigest: string): Uint8Array<ArrayBuffer> | undefined {
    try {
      return this.#histories.read(feedDigest);
    } catch {
      return undefined;
    }
  }

  readHistory(feedDigest: string): LocalOutcome {
    const history = this.#histories.read(feedDigest);
    return history === undefined ? { kind: "none" } : { kind: "found_history", history };
  }

  /** Writes a version, and its history where there is room for it. */
  write(action: LocalWrite, now: number): WriteResult {
    try {
      return this.#write(action, now);
    } catch (error) {
      const { history, ...version } = action.version;
      if (history === undefined || sqliteResult(error) !== SQLITE.FULL) throw error;
      return this.#write({ ...action, version }, now);
    }
  }

  #write(action: LocalWrite, now: number): WriteResult {
    const { version } = action;
    return transact(this.#db, () => {
      const existing = this.#findConflict(action, now);
      const replacedContent = existing?.version !== undefined && mayReplaceContent(existing.version, action);
      if (existing?.version !== undefined && !replacedContent) {
        const { lcut } = existing.version;
        return { outcome: { kind: "not_newer", lcut }, replacedDamage: false, evicted: 0 };
      }
      this.#put(version, now);
      const evicted = this.#evict(version);
      const outcome = { kind: "done", ...(replacedContent && { replacedContent }) } as const;
      const replacedDamage = existing !== undefined && !replacedContent;
      return { outcome, replacedDamage, evicted };
    });
  }

  /** Records that this relay uses the version. Returns false if there is none. */
  touch(feedDigest: string, now: number): boolean {
    return transact(this.#db, () => {
      const row = this.#statements.get("SELECT sdk_key, used_at FROM spec WHERE feed = ?", feedDigest);
      if (row === undefined) return false;
      this.#users.add(String(row["sdk_key"]));
      // The difference may be negative: a clock may have been set back.
      if (Math.abs(now - Number(row["used_at"])) >= USED_AT_PRECISION_MS)
        this.#statements.run("UPDATE spec SET used_at = ? WHERE feed = ?", now, feedDigest);
      return true;
    });
  }

  /** Keeps the version if another running relay uses it: that relay finds out itself whether its upstream accepts the key. */
  remove(feedDigest: string): void {
    transact(this.#db, () => {
      const row = this.#statements.get("SELECT sdk_key FROM spec WHERE feed = ?", feedDigest);
      if (row === undefined) return;
      const sdkKey = String(row["sdk_key"]);
      this.#users.delete(sdkKey);
      if (!this.#users.hasOther(sdkKey)) this.#delete(feedDigest);
    });
  }

  /** Whether a relay that used some versions has ended and has not been restarted. */
  hasEndedUsers(now: number): boolean {
    return this.#users.findEnded(now).length > 0;
  }

  /**
   * Enforces the limits, which may be lower than before, and with `now` first deletes the entries of relays that have ended. Returns
   * the number of versions deleted.
   */
  shrink(now?: number): number {
    return transact(this.#db, () => {
      if (now !== undefined) this.#users.deleteEnded(now);
      return this.#evict({ feedDigest: "", keyDigest: "" });
    });
  }

  /**
   * Returns the row that keeps the version from being written, or a corrupt row that the write will replace. Its checksum is
   * verified, so that a corrupt row never blocks a write, whatever its lcut is.
   */
  #findConflict({ version, instead, hasClockTimes }: LocalWrite, now: number): StoredRow | undefined {
    const { feedDigest, keyDigest, lcut } = version;
    const row = this.#find(feedDigest, lcut - 1);
    // The row was written while a clock was ahead.
    if (row?.version !== undefined && hasClockTimes && row.lcut > now + CLOCK_TOLERANCE_MS) return undefined;
    if (row === undefined || row.lcut !== instead) return row;
    // This relay can't use the row, for example because it is too large. A relay that can must not get an older version.
    this.#users.delete(keyDigest);
    return row.version !== undefined && this.#users.hasOther(keyDigest) ? row : undefined;
  }

  #find(feedDigest: string, newerThan: number): StoredRow | undefined {
    // A corrupt integer may be too large for node:sqlite to return. Every valid lcut fits into a REAL.
    const columns = "sdk_key, CAST(lcut AS REAL) AS lcut, format, content_encoding, seal, body";
    const sql = `SELECT ${columns} FROM spec WHERE feed = ? AND lcut > ?`;
    const row = this.#statements.get(sql, feedDigest, newerThan);
    return row === undefined ? undefined : parseRow(feedDigest, row);
  }

  #put(version: StoredVersion, now: number): void {
    const { feedDigest, keyDigest, lcut, format, contentEncoding, body } = version;
    const history = this.#fittingHistory(version);
    const bytes = body.length + (history?.length ?? 0);
    this.#statements.run(
      "INSERT OR REPLACE INTO spec VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      ...[feedDigest, keyDigest, lcut, format, contentEncoding],
      ...[now, now, bytes, checksum(version), body],
    );
    if (history !== undefined) this.#histories.write(feedDigest, history);
    this.#users.add(keyDigest);
  }

  /** Returns the history of a version unless the limit leaves room for the body alone. */
  #fittingHistory({ body, history }: StoredVersion): StoredVersion["history"] {
    const isFitting = body.length + (history?.length ?? 0) <= this.#limits.maxBytes;
    return isFitting ? history : undefined;
  }

  #delete(feedDigest: string): number {
    return this.#run("DELETE FROM spec WHERE feed = ?", feedDigest);
  }

  #run(sql: string, value: string): number {
    return Number(this.#statements.run(sql, value).changes);
  }

  /**
   * Evicts the least recently used keys, then the least recently used versions, until the limits are met; never the given version,
   * which was just written. Each relay has its own limits: an evicted version is no longer counted for this relay, and is
   * deleted if no other running relay uses it.
   */
  #evict({ feedDigest, keyDigest }: Pick<StoredVersion, "feedDigest" | "keyDigest">): number {
    const { maxKeys, maxBytes } = this.#limits;
    // Usually all versions together are within the limits, and this query is faster than the ones below.
    const all = this.#statements.get(
      "SELECT count(DISTINCT sdk_key) AS keys, total(bytes) AS bytes FROM spec",
    );
    if (Number(all?.["keys"]) <= maxKeys && Number(all?.["bytes"]) <= maxBytes) return 0;
    const oldestKey = `SELECT sdk_key FROM spec WHERE ${OWN} AND sdk_key <> ? GROUP BY sdk_key
      ORDER BY max(used_at) LIMIT 1`;
    const oldestFeed = `SELECT sdk_key, feed FROM spec WHERE ${OWN} AND feed <> ? ORDER BY used_at LIMIT 1`;
    const evicted: number[] = [];
    while (this.#sumOwn("count(DISTINCT sdk_key)") > maxKeys) {
      const sdkKey = String(this.#findOldestOwn(oldestKey, keyDigest)["sdk_key"]);
      this.#users.delete(sdkKey);
      evicted.push(this.#run(`DELETE FROM spec WHERE sdk_key = ? AND ${UNUSED}`, sdkKey));
    }
    while (this.#sumOwn("total(bytes)") > maxBytes) {
      const { sdk_key: sdkKey, feed } = this.#findOldestOwn(oldestFeed, feedDigest);
      if (this.#users.hasOther(String(sdkKey))) this.#users.delete(String(sdkKey));
      else evicted.push(this.#delete(String(feed)));
    }
    if (evicted.length > 0) this.#users.deleteEvicted();
    return evicted.reduce((sum, versions) => sum + versions, 0);
  }

  #sumOwn(expression: string): number {
    const sql = `SELECT ${expression} AS sum FROM spec WHERE ${OWN}`;
    return Number(this.#statements.get(sql, this.#users.ownSlot)?.["sum"]);
  }

  #findOldestOwn(sql: string, except: string): SqlRow {
    const row = this.#statements.get(sql, this.#users.ownSlot, except);
    if (row === undefined) throw new Error("the limits of the local backup leave no room for one version");
    return row;
  }
}

/**
 * `seal` is the row's checksum, since SQLite has none; `bytes` is the length of the body and of the history in `spec_history`. The
 * index covers the sums, so that they do not skip over the bodies.
 */
const SCHEMA = `
  CREATE TABLE spec (
    feed TEXT PRIMARY KEY,
    sdk_key TEXT NOT NULL,
    lcut INTEGER NOT NULL,
    format TEXT NOT NULL,
    content_encoding TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    seal BLOB NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE INDEX spec_by_use ON spec (used_at, sdk_key, bytes);
`;

/** A local backup can be replaced at any time: upstream has everything that is in it. */
export const specSchema: DatabaseSchema = {
  // "SFP1"
  applicationId: 0x53465031,
  version: 1,
  tables: SCHEMA,
  probe: `SELECT feed, sdk_key, lcut, format, content_encoding, written_at, used_at, bytes, seal, body
    FROM spec LIMIT 0`,
  exclusive: false,
};

/** A row after its checksum was verified. */
interface StoredRow {
  /** The value of the column, even if the row is corrupt. */
  readonly lcut: number;
  /** Undefined if the row is corrupt. */
  readonly version: StoredVersion | undefined;
}

function parseRow(feedDigest: string, row: SqlRow): StoredRow {
  const lcut = Number(row["lcut"]);
  const { body, seal } = row;
  const version: StoredVersion = {
    feedDigest,
    keyDigest: String(row["sdk_key"]),
    lcut,
    format: row["format"] as SpecFormat,
    contentEncoding: String(row["content_encoding"]),
    body: body instanceof Uint8Array ? toOwnBuffer(body) : new Uint8Array(),
  };
  const isIntact = seal instanceof Uint8Array && checksum(version).equals(seal);
  return { lcut, version: isIntact ? version : undefined };
}

/** Whether a version has the lcut of the stored one and other bytes, and may replace it. */
function mayReplaceContent(stored: StoredVersion, { version, instead }: LocalWrite): boolean {
  const isAllowed = instead === "other_content" && version.lcut === stored.lcut;
  return isAllowed && Buffer.compare(version.body, stored.body) !== 0;
}

/** Returns a digest of the whole version. */
function checksum({ feedDigest, keyDigest, lcut, format, contentEncoding, body }: StoredVersion): Buffer {
  const head = JSON.stringify([feedDigest, keyDigest, lcut, format, contentEncoding]);
  return createHash("sha256").update(head).update(body).digest();
}
