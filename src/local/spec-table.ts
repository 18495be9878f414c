import type { DatabaseSync, StatementSync } from "node:sqlite";
import { transact } from "./database.ts";
import { type KeptRow, rowOf, sealOf } from "./kept-row.ts";
import type { KeptVersion, LocalAction, LocalLimits, LocalOutcome } from "./local-calls.ts";

/** When something was used is written down no more often than this: it costs a commit. */
const USED_AT_PRECISION_MS = 10 * 60_000;

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
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync, limits: LocalLimits) {
    this.#db = db;
    this.#limits = limits;
  }

  read({ feedDigest, newerThan, maxBytes }: ReadAction, now: number): LocalOutcome {
    // SQLite knows the length without reading the body.
    const length = this.#run("SELECT length(body) AS bytes FROM spec WHERE feed = ? AND lcut > ?");
    if (Number(length.get(feedDigest, newerThan)?.["bytes"]) > maxBytes) return { kind: "too_large" };
    const row = this.#row(feedDigest, newerThan);
    if (row === undefined) return { kind: "none" };
    if (row.version === undefined) {
      this.remove(feedDigest);
      return { kind: "damaged" };
    }
    this.#use(feedDigest, row.usedAt, now);
    return { kind: "found", version: row.version };
  }

  write(version: KeptVersion, instead: number | undefined, now: number): TableWrite {
    return transact(this.#db, () => {
      const there = this.#rowInTheWay(version, instead);
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

  touch(feedDigest: string, now: number): boolean {
    const row = this.#run("SELECT used_at FROM spec WHERE feed = ?").get(feedDigest);
    if (row === undefined) return false;
    this.#use(feedDigest, Number(row["used_at"]), now);
    return true;
  }

  remove(feedDigest: string): void {
    this.#run("DELETE FROM spec WHERE feed = ?").run(feedDigest);
  }

  /** Keeps to bounds that are lower than they were; returns how many versions went. */
  shrink(): number {
    return transact(this.#db, () => this.#makeRoom({ feedDigest: "", keyDigest: "" }));
  }

  /** Looked into whole: a damaged row keeps no version out, whatever it says that its lcut is. */
  #rowInTheWay({ feedDigest, lcut }: KeptVersion, instead: number | undefined): KeptRow | undefined {
    const row = this.#row(feedDigest, lcut - 1);
    return row?.lcut === instead ? undefined : row;
  }

  #row(feedDigest: string, newerThan: number): KeptRow | undefined {
    // REAL, since a damaged integer may be none that JavaScript can take. All lcuts fit.
    const columns = "sdk_key, CAST(lcut AS REAL) AS lcut, format, content_encoding, used_at, seal, body";
    const row = this.#run(`SELECT ${columns} FROM spec WHERE feed = ? AND lcut > ?`).get(
      feedDigest,
      newerThan,
    );
    return row === undefined ? undefined : rowOf(feedDigest, row);
  }

  #put(version: KeptVersion, now: number): void {
    const { feedDigest, keyDigest, lcut, format, contentEncoding, body } = version;
    this.#run("INSERT OR REPLACE INTO spec VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
      ...[feedDigest, keyDigest, lcut, format, contentEncoding],
      ...[now, now, body.length, sealOf(version), body],
    );
  }

  #use(feedDigest: string, usedAt: number, now: number): void {
    // Clocks may be set back.
    if (Math.abs(now - usedAt) < USED_AT_PRECISION_MS) return;
    this.#run("UPDATE spec SET used_at = ? WHERE feed = ?").run(now, feedDigest);
  }

  /** The least recently used keys go, then the least recently used versions; never what was just written. */
  #makeRoom({ feedDigest, keyDigest }: Pick<KeptVersion, "feedDigest" | "keyDigest">): number {
    const { maxKeys, maxBytes } = this.#limits;
    const oldestKey = `SELECT sdk_key FROM spec WHERE sdk_key <> ? GROUP BY sdk_key
      ORDER BY max(used_at) LIMIT 1`;
    const oldestFeed = "SELECT feed FROM spec WHERE feed <> ? ORDER BY used_at LIMIT 1";
    let evicted = 0;
    while (this.#sum("count(DISTINCT sdk_key)") > maxKeys) {
      evicted += this.#delete(`DELETE FROM spec WHERE sdk_key = (${oldestKey})`, keyDigest);
    }
    while (this.#sum("total(bytes)") > maxBytes) {
      evicted += this.#delete(`DELETE FROM spec WHERE feed = (${oldestFeed})`, feedDigest);
    }
    return evicted;
  }

  #sum(expression: string): number {
    return Number(this.#run(`SELECT ${expression} AS sum FROM spec`).get()?.["sum"]);
  }

  #delete(sql: string, except: string): number {
    const deleted = Number(this.#run(sql).run(except).changes);
    if (deleted === 0) throw new Error("the embedded backup's bounds leave no room for one version");
    return deleted;
  }

  #run(sql: string): StatementSync {
    const statement = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}
