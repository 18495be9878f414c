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

/** How long a call waits for another process to unlock the file. Below the time limit of a call, so that the error names the process. */
export const BUSY_TIMEOUT_MS = 2_000;
const RETRY_MS = 10;
/** The write-ahead log is truncated to this size after a large commit. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;

/** Opens the database, and creates it if missing. Throws if it can't be used; see {@link isUnusable}. */
export function openDatabase(file: string, schema: DatabaseSchema): DatabaseSync {
  const deadlineMs = performance.now() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      return openOnce(file, schema);
    } catch (error) {
      if (sqliteResult(error) !== SQLITE.BUSY || performance.now() > deadlineMs) throw error;
    }
    // SQLite itself does not wait while another relay creates or deletes the write-ahead log.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
  }
}

/**
 * The write-ahead log makes commits atomic even across kill -9. `synchronous=FULL` flushes each commit to the disk before it is
 * acknowledged, so that it also survives a power cut: one fsync per commit, on the Worker's thread.
 */
function openOnce(file: string, schema: DatabaseSchema): DatabaseSync {
  makePrivate(file);
  const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    // Set before the first read, so that SQLite uses no shared memory and keeps the lock until the file is closed.
    if (schema.exclusive) db.exec("PRAGMA locking_mode = EXCLUSIVE");
    checkDatabase(db, schema);
    db.exec("PRAGMA journal_mode = WAL");
    db.exec(`PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${MAX_LOG_BYTES}`);
    // A transaction even if the tables exist: it fails if the file can't be written.
    transact(db, () => {
      if (countTables(db) === 0) createTables(db, schema);
    });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function createTables(db: DatabaseSync, { tables, applicationId, version }: DatabaseSchema): void {
  db.exec(tables);
  db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version}`);
}

/** Runs `work` in a write transaction. Rolls back, and rethrows, if it throws. */
export function transact<T>(db: DatabaseSync, work: () => T): T {
  db.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    // After some errors SQLite has rolled back already.
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** The schema of one kind of database file. */
export interface DatabaseSchema {
  /** SQLite's application_id, which distinguishes the file from other kinds of files and from other programs' files. */
  readonly applicationId: number;
  /** The version of the tables. A file of another version is renamed and replaced. */
  readonly version: number;
  /** SQL that creates the tables. */
  readonly tables: string;
  /** SQL that fails if a table or column is missing. */
  readonly probe: string;
  /** Whether only one relay may have the file open. */
  readonly exclusive: boolean;
}

/** The file is corrupt, of another version, or another program's. */
class UnusableDatabase extends Error {}

/** Throws {@link UnusableDatabase} unless the database is empty, or intact and of this schema. Does not change it. */
function checkDatabase(db: DatabaseSync, schema: DatabaseSchema): void {
  if (isEmpty(db, schema)) return;
  checkTables(db, schema);
  checkPages(db);
}

/** Uses one transaction, because another relay may be creating the tables at the moment. */
function isEmpty(db: DatabaseSync, schema: DatabaseSchema): boolean {
  db.exec("BEGIN");
  const applicationId = readPragma(db, "application_id");
  const version = readPragma(db, "user_version");
  const tables = countTables(db);
  db.exec("COMMIT");
  if (applicationId === schema.applicationId && version !== schema.version) {
    throw new UnusableDatabase(`it has version ${version}, expected ${schema.version}`);
  }
  if (applicationId !== schema.applicationId && (applicationId !== 0 || tables !== 0)) {
    throw new UnusableDatabase("it is another program's database");
  }
  return tables === 0;
}

function countTables(db: DatabaseSync): unknown {
  return db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.["tables"];
}

function checkTables(db: DatabaseSync, { probe }: DatabaseSchema): void {
  try {
    db.exec(probe);
  } catch (error) {
    throw sqliteResult(error) === SQLITE.ERROR ? new UnusableDatabase((error as Error).message) : error;
  }
}

/** Reads every page, which takes about one second per GB. */
function checkPages(db: DatabaseSync): void {
  const result = readPragma(db, "quick_check(1)");
  if (result !== "ok") throw new UnusableDatabase(String(result));
}

function readPragma(db: DatabaseSync, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}

/** Whether the error means that the file itself is unusable, so that a new file helps. */
export function isUnusable(error: unknown): error is Error {
  const result = sqliteResult(error);
  return error instanceof UnusableDatabase || result === SQLITE.CORRUPT || result === SQLITE.NOTADB;
}

/** The primary result codes of SQLite that are handled. */
export const SQLITE = { ERROR: 1, BUSY: 5, CORRUPT: 11, FULL: 13, NOTADB: 26 };

/** Returns SQLite's primary result code, or undefined if the error is not SQLite's. */
export function sqliteResult(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
}

export type SqlRow = Record<string, SQLOutputValue>;

/** Runs SQL on one database, and prepares each statement only once. */
export class Statements {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  run(sql: string, ...values: SQLInputValue[]): ReturnType<StatementSync["run"]> {
    return this.#prepare(sql).run(...values);
  }

  get(sql: string, ...values: SQLInputValue[]): SqlRow | undefined {
    return this.#prepare(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): SqlRow[] {
    return this.#prepare(sql).all(...values);
  }

  #prepare(sql: string): StatementSync {
    const statement = this.#prepared.get(sql) ?? this.#db.prepare(sql);
    this.#prepared.set(sql, statement);
    return statement;
  }
}

/** Returns bytes of a row that own their whole buffer, so that it can be transferred to another thread. */
export function toOwnBuffer(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes);
}

const OWNER_ONLY = 0o600;

/**
 * Creates the file and its folder if missing, and gives only their owner access to them and to SQLite's companion files. Throws
 * if the path is not a regular file.
 */
export function makePrivate(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    // SQLite creates companion files with the mode of this one. An existing file must not be opened and closed here: POSIX
    // would release all locks that this process holds on it.
    closeSync(openSync(file, "wx", OWNER_ONLY));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  for (const suffix of ["", ...COMPANION_SUFFIXES]) {
    const mode = readMode(file + suffix);
    if (mode !== undefined && mode !== OWNER_ONLY) chmodSync(file + suffix, OWNER_ONLY);
  }
}

function readMode(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isFile()) throw new Error(`${path} is not a regular file: remove it`);
  return stat.mode & 0o777;
}

/** Returns a text that changes when another file replaces this one, or undefined if there is no file. */
export function fileIdentity(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}

/** SQLite's companion files, which exist while the database is in use and after a crash. */
export const COMPANION_SUFFIXES = ["-wal", "-shm", "-journal"];

export function deleteDatabase(file: string): void {
  for (const suffix of ["", ...COMPANION_SUFFIXES]) rmSync(file + suffix, { force: true });
}

/** Enough to find out what went wrong. Each may be as large as the database. */
const MAX_SET_ASIDE = 3;

/** Renames a corrupt database, deletes the oldest ones that were renamed before, and returns the new path. */
export function setAside(file: string, now: number): string {
  const timestamp = new Date(now).toISOString().replaceAll(/[-:.]/g, "");
  const aside = `${file}.corrupt-${timestamp}`;
  // The companion files come first: SQLite would replay a log that stays behind into the new database.
  for (const suffix of [...COMPANION_SUFFIXES, ""]) {
    try {
      renameSync(file + suffix, aside + suffix);
    } catch (error) {
      // Most companion files exist only while the database is in use.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  deleteOldest(file);
  return aside;
}

function deleteOldest(file: string): void {
  const prefix = `${basename(file)}.corrupt-`;
  const names = readdirSync(dirname(file)).filter((name) => name.startsWith(prefix));
  const parseTimestamp = (name: string) => name.slice(prefix.length).split("-")[0] ?? "";
  const newest = [...new Set(names.map(parseTimestamp))].sort().slice(-MAX_SET_ASIDE);
  for (const name of names) {
    if (!newest.includes(parseTimestamp(name))) rmSync(join(dirname(file), name), { force: true });
  }
}
