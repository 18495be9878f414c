import type { DatabaseSync } from "node:sqlite";
import { transact } from "./database.ts";
import { type KeptRow, rowOf, sealOf } from "./kept-row.ts";
import type { KeptVersion, LocalAction, LocalLimits, LocalOutcome, LocalWrite } from "./local-calls.ts";
import type { RelaySlots } from "./relay-slots.ts";
import { OWN, SpecUsers, UNUSED } from "./spec-users.ts";
import { type SqlRow, Statements } from "./statements.ts";

/** When something was used is written down no more often than this: it costs a commit. */
const USED_AT_PRECISION_MS = 10 * 60_000;
/** Clocks of relays that share a file may differ by this. */
const CLOCK_TOLERANCE_MS = 60_000;

export interface TableWrite {
  readonly outcome: LocalOutcome;
  readonly replacedDamage: boolean;
  readonly evicted: number;
}

type ReadAction = Extract<LocalAction, { kind: "read" }>;

/** The newest version of each feed, in SQL. */
export class SpecTable {
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
