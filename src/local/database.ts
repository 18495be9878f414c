import { DatabaseSync } from "node:sqlite";
import { makePrivate } from "./private-file.ts";

/** "SFP1": tells our files from those of other programs. */
const APPLICATION_ID = 0x53465031;
/** Of the table below. A file of another version is set aside: all in it can be had from upstream again. */
const SCHEMA_VERSION = 1;

/** Below the limit of a call, so that a call says "database is locked" rather than nothing. */
const BUSY_TIMEOUT_MS = 5_000;
/** A log that one large version swelled goes back to this. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;

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
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** The file is damaged, or not ours. */
export class UnfitFile extends Error {}

/**
 * Opens the database, made where there is none, after it was found to be ours and sound. Throws
 * {@link UnfitFile}, or whatever stands in the way.
 *
 * A write-ahead log keeps kill -9 from leaving half a version. `synchronous=FULL` has every commit reach the disk
 * before it is acknowledged, so that after a power cut, too, nothing older is there than was served: one fsync for
 * each new version, on a thread that no request waits for.
 */
export function openDatabase(file: string): DatabaseSync {
  makePrivate(file);
  const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    if (!isNew(db)) {
      checkTable(db);
      checkPages(db);
    }
    db.exec("PRAGMA journal_mode = WAL");
    db.exec(`PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${MAX_LOG_BYTES}`);
    // Begun even where there is nothing to do: it fails where the file can't be written.
    transact(db, () => {
      if (tablesIn(db) === 0) db.exec(SCHEMA);
    });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Throws where it is not ours. In one transaction, since another relay may be making the table just now. */
function isNew(db: DatabaseSync): boolean {
  db.exec("BEGIN");
  const applicationId = pragma(db, "application_id");
  const version = pragma(db, "user_version");
  const tables = tablesIn(db);
  db.exec("COMMIT");
  if (applicationId === APPLICATION_ID && version !== SCHEMA_VERSION) {
    throw new UnfitFile(`it is of version ${version}, this relay's are of version ${SCHEMA_VERSION}`);
  }
  if (applicationId !== APPLICATION_ID && (applicationId !== 0 || tables !== 0)) {
    throw new UnfitFile("it is another program's database");
  }
  return tables === 0;
}

function tablesIn(db: DatabaseSync): unknown {
  return db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.["tables"];
}

/** Goes through every page, at about a second per GB. */
function checkPages(db: DatabaseSync): void {
  const finding = pragma(db, "quick_check(1)");
  if (finding !== "ok") throw new UnfitFile(String(finding));
}

function checkTable(db: DatabaseSync): void {
  try {
    db.exec(
      "SELECT feed, sdk_key, lcut, format, content_encoding, written_at, used_at, bytes, seal, body FROM spec LIMIT 0",
    );
  } catch (error) {
    throw resultOf(error) === SQLITE.ERROR ? new UnfitFile((error as Error).message) : error;
  }
}

function pragma(db: DatabaseSync, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
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

const SQLITE = { ERROR: 1, CORRUPT: 11, NOTADB: 26 };

/** Whether the error says that the file itself is bad. */
export function isUnfit(error: unknown): error is Error {
  const result = resultOf(error);
  return error instanceof UnfitFile || result === SQLITE.CORRUPT || result === SQLITE.NOTADB;
}

/** SQLite's primary result code. */
function resultOf(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
}
