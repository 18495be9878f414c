import { createHash } from "node:crypto";
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import type { SpecFormat } from "../specs/feed.ts";
import type {
  KeptVersion,
  LocalAction,
  LocalLimits,
  LocalOutcome,
  LocalReply,
  LocalWrite,
} from "./backup-calls.ts";
import { OWN, RelaySlots, SpecUsers, UNUSED } from "./backup-users.ts";
import {
  BUSY_TIMEOUT_MS,
  type DatabaseSchema,
  SQLITE,
  type SqlRow,
  Statements,
  sqliteResult,
  transact,
} from "./database.ts";
import type { LocalEvent } from "./events.ts";
import { describeSqliteError } from "./lock.ts";
import { ManagedDatabase } from "./managed-file.ts";

/** While another process has the file locked, no call waits as long as the first did: reads would queue up behind it. */
const STILL_BUSY_TIMEOUT_MS = 50;

/** The database of the embedded backup. */
export class LocalBackupFile {
  readonly path: string;
  readonly #limits: LocalLimits;
  readonly #file: ManagedDatabase<SpecTable>;
  #events: LocalEvent[] = [];
  #slots: RelaySlots | undefined;
  #hasOpened = false;

  constructor(path: string, limits: LocalLimits) {
    this.path = path;
    this.#limits = limits;
    this.#file = new ManagedDatabase({
      path,
      shape: specSchema,
      opened: (db) => {
        this.#hasOpened = true;
        this.#slots?.[Symbol.dispose]();
        this.#slots = undefined;
        this.#slots = new RelaySlots(path);
        const table = new SpecTable(db, limits, this.#slots);
        this.#reportEvicted(table.shrink());
        return table;
      },
      onSetAside: (setAsideAs, detail) =>
        this.#events.push({ kind: "local_corrupt_set_aside", setAsideAs, detail }),
    });
  }

  /** Never throws: what went wrong is an outcome. */
  perform(action: LocalAction, now: number): LocalReply {
    this.#events = [];
    this.#hasOpened = false;
    const outcome = this.#attempt(action, now);
    return { outcome, hasOpened: this.#hasOpened, events: this.#events };
  }

  #attempt(action: LocalAction, now: number): LocalOutcome {
    try {
      const outcome = this.#file.attempt(() => this.#do(action, now), now);
      if (action.kind !== "read") this.#file.waitForLocks(BUSY_TIMEOUT_MS);
      return outcome;
    } catch (error) {
      if (sqliteResult(error) === SQLITE.BUSY) this.#file.waitForLocks(STILL_BUSY_TIMEOUT_MS);
      return {
        kind: "failed",
        detail: `the embedded backup ${this.path}: ${describeSqliteError(error, this.path)}`,
      };
    }
  }

  #do(action: LocalAction, now: number): LocalOutcome {
    switch (action.kind) {
      case "open":
        this.#open(now);
        return { kind: "done" };
      case "read":
        return this.#file.use().read(action);
      case "write":
        return this.#write(action, now);
      case "touch":
        return { kind: this.#file.use().touch(action.feedDigest, now) ? "done" : "none" };
      case "remove":
        this.#file.use().remove(action.feedDigest);
        return { kind: "done" };
      case "close":
        this.#file.close();
        this.#slots?.[Symbol.dispose]();
        return { kind: "done" };
    }
  }

  #open(now: number): void {
    const table = this.#file.use();
    if (table.hasEndedUsers(now)) this.#reportEvicted(table.shrink(now));
  }

  #write(action: LocalWrite, now: number): LocalOutcome {
    const { maxBytes } = this.#limits;
    const bytes = action.version.body.length;
    if (bytes > maxBytes) throw new Error(`a version of ${bytes} bytes is more than the ${maxBytes} allowed`);
    const { outcome, replacedDamage, evicted } = this.#file.use().write(action, now);
    if (replacedDamage) {
      const detail = `a version in the embedded backup ${this.path} was damaged: a good one took its place`;
      this.#events.push({ kind: "local_damage_replaced", detail });
    }
    this.#reportEvicted(evicted);
    return outcome;
  }

  #reportEvicted(versions: number): void {
    if (versions === 0) return;
    const { maxKeys, maxBytes } = this.#limits;
    const bounds = `${maxKeys} SDK keys or ${maxBytes} bytes`;
    const detail = `the embedded backup ${this.path} was at its bound of ${bounds}: the least recently used went`;
    this.#events.push({ kind: "local_evicted", versions, detail });
  }
}

/** When something was used is written down no more often than this: it costs a commit. */
const USED_AT_PRECISION_MS = 10 * 60_000;
/** Clocks of relays that share a file may differ by this. */
const CLOCK_TOLERANCE_MS = 60_000;

interface TableWrite {
  readonly outcome: LocalOutcome;
  readonly replacedDamage: boolean;
  readonly evicted: number;
}

type ReadAction = Extract<LocalAction, { kind: "read" }>;

/** The newest version of each feed, in SQL. */
class SpecTable {
  readonly #db: DatabaseSync;
  readonly #limits: LocalLimits;
  readonly #statements: Statements;
  readonly #users: SpecUsers;

  constructor(db: DatabaseSync, limits: LocalLimits, slots: RelaySlots) {
    this.#db = db;
    this.#limits = limits;
    this.#statements = new Statements(db);
    this.#users = new SpecUsers(db, slots);
  }

  /** Writes nothing unless the row is damaged: a file that can't be written can still be read. */
  read({ feedDigest, newerThan, maxBytes }: ReadAction): LocalOutcome {
    // SQLite knows the length without reading the body.
    const length = "SELECT length(body) AS bytes FROM spec WHERE feed = ? AND lcut > ?";
    if (Number(this.#statements.get(length, feedDigest, newerThan)?.["bytes"]) > maxBytes)
      return { kind: "too_large" };
    const row = this.#row(feedDigest, newerThan);
    if (row === undefined) return { kind: "none" };
    if (row.version === undefined) {
      this.#delete(feedDigest);
      return { kind: "damaged" };
    }
    return { kind: "found", version: row.version };
  }

  write(action: LocalWrite, now: number): TableWrite {
    const { version } = action;
    return transact(this.#db, () => {
      const there = this.#rowInTheWay(action, now);
      if (there?.version !== undefined) {
        return {
          outcome: { kind: "not_newer", lcut: there.version.lcut },
          replacedDamage: false,
          evicted: 0,
        };
      }
      this.#put(version, now);
      return {
        outcome: { kind: "done" },
        replacedDamage: there !== undefined,
        evicted: this.#makeRoom(version),
      };
    });
  }

  /** This relay uses the version. */
  touch(feedDigest: string, now: number): boolean {
    return transact(this.#db, () => {
      const row = this.#statements.get("SELECT sdk_key, used_at FROM spec WHERE feed = ?", feedDigest);
      if (row === undefined) return false;
      this.#users.add(String(row["sdk_key"]));
      // Clocks may be set back.
      if (Math.abs(now - Number(row["used_at"])) >= USED_AT_PRECISION_MS)
        this.#statements.run("UPDATE spec SET used_at = ? WHERE feed = ?", now, feedDigest);
      return true;
    });
  }

  /** What another running relay uses stays: whether its upstream knows the key is for that relay to find out. */
  remove(feedDigest: string): void {
    transact(this.#db, () => {
      const row = this.#statements.get("SELECT sdk_key FROM spec WHERE feed = ?", feedDigest);
      if (row === undefined) return;
      const sdkKey = String(row["sdk_key"]);
      this.#users.delete(sdkKey);
      if (!this.#users.hasOther(sdkKey)) this.#delete(feedDigest);
    });
  }

  /** A relay that used something of it has ended, and was not started again. */
  hasEndedUsers(now: number): boolean {
    return this.#users.ended(now).length > 0;
  }

  /** Keeps to bounds that are lower than they were, or that relays no longer share; returns how many versions went. */
  shrink(now?: number): number {
    return transact(this.#db, () => {
      if (now !== undefined) this.#users.deleteEnded(now);
      return this.#makeRoom({ feedDigest: "", keyDigest: "" });
    });
  }

  /** Looked into whole: a damaged row keeps no version out, whatever it says that its lcut is. */
  #rowInTheWay({ version, instead, hasClockTimes }: LocalWrite, now: number): KeptRow | undefined {
    const { feedDigest, keyDigest, lcut } = version;
    const row = this.#row(feedDigest, lcut - 1);
    // It was written while the clock was ahead.
    if (row?.version !== undefined && hasClockTimes && row.lcut > now + CLOCK_TOLERANCE_MS) return undefined;
    if (row === undefined || row.lcut !== instead) return row;
    // Unusable for this relay, such as too large. One that can use it must not find an older one.
    this.#users.delete(keyDigest);
    return row.version !== undefined && this.#users.hasOther(keyDigest) ? row : undefined;
  }

  #row(feedDigest: string, newerThan: number): KeptRow | undefined {
    // REAL, since a damaged integer may be none that JavaScript can take. All lcuts fit.
    const columns = "sdk_key, CAST(lcut AS REAL) AS lcut, format, content_encoding, seal, body";
    const sql = `SELECT ${columns} FROM spec WHERE feed = ? AND lcut > ?`;
    const row = this.#statements.get(sql, feedDigest, newerThan);
    return row === undefined ? undefined : rowOf(feedDigest, row);
  }

  #put(version: KeptVersion, now: number): void {
    const { feedDigest, keyDigest, lcut, format, contentEncoding, body } = version;
    this.#statements.run(
      "INSERT OR REPLACE INTO spec VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      ...[feedDigest, keyDigest, lcut, format, contentEncoding],
      ...[now, now, body.length, sealOf(version), body],
    );
    this.#users.add(keyDigest);
  }

  #delete(feedDigest: string): number {
    return this.#run("DELETE FROM spec WHERE feed = ?", feedDigest);
  }

  #run(sql: string, value: string): number {
    return Number(this.#statements.run(sql, value).changes);
  }

  /**
   * The least recently used keys go, then the least recently used versions; never what was just written. Each relay
   * has bounds of its own: what goes is no longer this relay's, and deleted if no other running relay uses it.
   */
  #makeRoom({ feedDigest, keyDigest }: Pick<KeptVersion, "feedDigest" | "keyDigest">): number {
    const { maxKeys, maxBytes } = this.#limits;
    // In most cases there is room for all, whoever uses it: quicker to add up.
    const all = this.#statements.get(
      "SELECT count(DISTINCT sdk_key) AS keys, total(bytes) AS bytes FROM spec",
    );
    if (Number(all?.["keys"]) <= maxKeys && Number(all?.["bytes"]) <= maxBytes) return 0;
    const oldestKey = `SELECT sdk_key FROM spec WHERE ${OWN} AND sdk_key <> ? GROUP BY sdk_key
      ORDER BY max(used_at) LIMIT 1`;
    const oldestFeed = `SELECT sdk_key, feed FROM spec WHERE ${OWN} AND feed <> ? ORDER BY used_at LIMIT 1`;
    const evicted: number[] = [];
    while (this.#sumOfOwn("count(DISTINCT sdk_key)") > maxKeys) {
      const sdkKey = String(this.#oldestOwn(oldestKey, keyDigest)["sdk_key"]);
      this.#users.delete(sdkKey);
      evicted.push(this.#run(`DELETE FROM spec WHERE sdk_key = ? AND ${UNUSED}`, sdkKey));
    }
    while (this.#sumOfOwn("total(bytes)") > maxBytes) {
      const { sdk_key: sdkKey, feed } = this.#oldestOwn(oldestFeed, feedDigest);
      if (this.#users.hasOther(String(sdkKey))) this.#users.delete(String(sdkKey));
      else evicted.push(this.#delete(String(feed)));
    }
    if (evicted.length > 0) this.#users.deleteEvicted();
    return evicted.reduce((sum, versions) => sum + versions, 0);
  }

  #sumOfOwn(expression: string): number {
    const sql = `SELECT ${expression} AS sum FROM spec WHERE ${OWN}`;
    return Number(this.#statements.get(sql, this.#users.ownSlot)?.["sum"]);
  }

  #oldestOwn(sql: string, except: string): SqlRow {
    const row = this.#statements.get(sql, this.#users.ownSlot, except);
    if (row === undefined) throw new Error("the embedded backup's bounds leave no room for one version");
    return row;
  }
}

/** `seal` is the row's own checksum: SQLite has none. By the index, whoever adds up need not go past the bodies. */
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

/** The embedded backup. All in it can be had from upstream again. */
const specSchema: DatabaseSchema = {
  // "SFP1"
  applicationId: 0x53465031,
  version: 1,
  schema: SCHEMA,
  probe: `SELECT feed, sdk_key, lcut, format, content_encoding, written_at, used_at, bytes, seal, body
    FROM spec LIMIT 0`,
  exclusive: false,
};

/** What a row came to. */
interface KeptRow {
  /** What the row says, damaged or not. */
  readonly lcut: number;
  /** Undefined where the row is damaged. */
  readonly version: KeptVersion | undefined;
}

/** Checks a row against its seal. */
function rowOf(feedDigest: string, row: Record<string, SQLOutputValue>): KeptRow {
  const lcut = Number(row["lcut"]);
  const { body, seal } = row;
  const version: KeptVersion = {
    feedDigest,
    keyDigest: String(row["sdk_key"]),
    lcut,
    format: row["format"] as SpecFormat,
    contentEncoding: String(row["content_encoding"]),
    body: body instanceof Uint8Array ? owned(body) : new Uint8Array(),
  };
  const sound = seal instanceof Uint8Array && sealOf(version).equals(seal);
  return { lcut, version: sound ? version : undefined };
}

/** A digest of all that makes the version what it is. */
function sealOf({ feedDigest, keyDigest, lcut, format, contentEncoding, body }: KeptVersion): Buffer {
  const head = JSON.stringify([feedDigest, keyDigest, lcut, format, contentEncoding]);
  return createHash("sha256").update(head).update(body).digest();
}

/** What is handed to the other thread must own all of its memory. */
function owned(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = body;
  return buffer instanceof ArrayBuffer && buffer.byteLength === body.byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(body);
}
