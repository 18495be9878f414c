import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from "node:sqlite";

/** How long a call waits for another process to unlock the file: below the limit of a call, so that it says who has the lock. */
export const BUSY_TIMEOUT_MS = 2_000;
const RETRY_MS = 10;
/** A log that one large commit swelled goes back to this. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;

/**
 * Opens the database, made where there is none, after it was found to be ours and sound. Throws `UnfitFile`, or
 * whatever stands in the way.
 */
export function openDatabase(file: string, shape: DatabaseSchema): DatabaseSync {
  const deadlineMs = performance.now() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      return openOnce(file, shape);
    } catch (error) {
      if (sqliteResult(error) !== SQLITE.BUSY || performance.now() > deadlineMs) throw error;
    }
    // SQLite itself does not wait where another relay begins or ends the log.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
  }
}

/**
 * A write-ahead log keeps kill -9 from leaving half a version. `synchronous=FULL` has every commit reach the disk
 * before it is acknowledged, so that after a power cut, too, whatever was acknowledged is there: one fsync for each
 * commit, on a thread of its own.
 */
function openOnce(file: string, shape: DatabaseSchema): DatabaseSync {
  makePrivate(file);
  const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    // Before anything is read: there is no shared memory, then, and the lock is kept until the file is closed.
    if (shape.exclusive) db.exec("PRAGMA locking_mode = EXCLUSIVE");
    checkDatabase(db, shape);
    db.exec("PRAGMA journal_mode = WAL");
    db.exec(`PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${MAX_LOG_BYTES}`);
    // Begun even where there is nothing to do: it fails where the file can't be written.
    transact(db, () => {
      if (tablesIn(db) === 0) create(db, shape);
    });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function create(db: DatabaseSync, { schema, applicationId, version }: DatabaseSchema): void {
  db.exec(schema);
  db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version}`);
}

/** Runs `work` whole or not at all, with no other relay in between. */
export function transact<T>(db: DatabaseSync, work: () => T): T {
  db.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    // Some errors have rolled back by themselves.
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** What our files of one kind look like. */
export interface DatabaseSchema {
  /** Tells them from files of another kind, and of other programs. */
  readonly applicationId: number;
  /** Of the tables. A file of another version is set aside. */
  readonly version: number;
  /** Makes the tables. */
  readonly schema: string;
  /** Fails where the tables lack anything. */
  readonly probe: string;
  /** One relay alone has it open. */
  readonly exclusive: boolean;
}

/** The file is damaged, or not ours. */
class CorruptDatabase extends Error {}

/** Throws {@link CorruptDatabase} unless the database is empty, or ours and sound. Changes nothing in it. */
function checkDatabase(db: DatabaseSync, shape: DatabaseSchema): void {
  if (isEmpty(db, shape)) return;
  checkTables(db, shape);
  checkPages(db);
}

/** Throws where it is not ours. In one transaction, since another relay may be making the table just now. */
function isEmpty(db: DatabaseSync, shape: DatabaseSchema): boolean {
  db.exec("BEGIN");
  const applicationId = pragma(db, "application_id");
  const version = pragma(db, "user_version");
  const tables = tablesIn(db);
  db.exec("COMMIT");
  if (applicationId === shape.applicationId && version !== shape.version) {
    throw new CorruptDatabase(`it is of version ${version}, this relay's are of version ${shape.version}`);
  }
  if (applicationId !== shape.applicationId && (applicationId !== 0 || tables !== 0)) {
    throw new CorruptDatabase("it is another program's database");
  }
  return tables === 0;
}

function tablesIn(db: DatabaseSync): unknown {
  return db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.["tables"];
}

function checkTables(db: DatabaseSync, { probe }: DatabaseSchema): void {
  try {
    db.exec(probe);
  } catch (error) {
    throw sqliteResult(error) === SQLITE.ERROR ? new CorruptDatabase((error as Error).message) : error;
  }
}

/** Goes through every page, at about a second per GB. */
function checkPages(db: DatabaseSync): void {
  const finding = pragma(db, "quick_check(1)");
  if (finding !== "ok") throw new CorruptDatabase(String(finding));
}

function pragma(db: DatabaseSync, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}

/** Whether the error says that the file itself is bad. */
export function isCorrupt(error: unknown): error is Error {
  const result = sqliteResult(error);
  return error instanceof CorruptDatabase || result === SQLITE.CORRUPT || result === SQLITE.NOTADB;
}

/** The primary result codes of SQLite that make a difference here. */
export const SQLITE = { ERROR: 1, BUSY: 5, CORRUPT: 11, FULL: 13, NOTADB: 26 };

/** With what SQLite failed; undefined where the error is not SQLite's. */
export function sqliteResult(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
}

export type SqlRow = Record<string, SQLOutputValue>;

/** Statements of one database, each prepared once. */
export class Statements {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  run(sql: string, ...values: SQLInputValue[]): ReturnType<StatementSync["run"]> {
    return this.#of(sql).run(...values);
  }

  get(sql: string, ...values: SQLInputValue[]): SqlRow | undefined {
    return this.#of(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): SqlRow[] {
    return this.#of(sql).all(...values);
  }

  #of(sql: string): StatementSync {
    const statement = this.#prepared.get(sql) ?? this.#db.prepare(sql);
    this.#prepared.set(sql, statement);
    return statement;
  }
}

const OWNER_ONLY = 0o600;

/** Sees to it that the file, those beside it, and a folder that has to be made are open to their owner alone. Throws if it is no file. */
export function makePrivate(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    // SQLite gives the files beside it the mode of this one. A file that is there must not be opened and closed
    // here: that would take away the locks that this process holds on it.
    closeSync(openSync(file, "wx", OWNER_ONLY));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  for (const suffix of ["", ...BESIDE]) {
    const mode = modeOf(file + suffix);
    if (mode !== undefined && mode !== OWNER_ONLY) chmodSync(file + suffix, OWNER_ONLY);
  }
}

function modeOf(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isFile()) throw new Error(`${path} is a folder, socket or the like, not a file: remove it`);
  return stat.mode & 0o777;
}

/** Tells a file from another that took its name; undefined where there is none. */
export function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}

/**
 * A database is one file and, while it is in use or after a crash, others beside it. They move before the
 * database does: a log that stayed behind would be played into the new one.
 */
export const BESIDE = ["-wal", "-shm", "-journal"];

/** Enough to see what went wrong; each may be as large as the backup. */
const KEPT = 3;

/** Moves a database out of the way and returns its new path. The oldest of those moved before are deleted. */
export function setAside(file: string, now: number): string {
  const timestamp = new Date(now).toISOString().replaceAll(/[-:.]/g, "");
  const aside = `${file}.corrupt-${timestamp}`;
  for (const suffix of [...BESIDE, ""]) {
    try {
      renameSync(file + suffix, aside + suffix);
    } catch (error) {
      // Most of them are there only while the database is used.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  deleteOldest(file);
  return aside;
}

function deleteOldest(file: string): void {
  const prefix = `${basename(file)}.corrupt-`;
  const names = readdirSync(dirname(file)).filter((name) => name.startsWith(prefix));
  const timestampOf = (name: string) => name.slice(prefix.length).split("-")[0] ?? "";
  const newest = [...new Set(names.map(timestampOf))].sort().slice(-KEPT);
  for (const name of names) {
    if (!newest.includes(timestampOf(name))) rmSync(join(dirname(file), name), { force: true });
  }
}
