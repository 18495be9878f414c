import { DatabaseSync } from "node:sqlite";
import { APPLICATION_ID, checkDatabase, SCHEMA_VERSION, tablesIn } from "./database-check.ts";
import { makePrivate } from "./private-file.ts";
import { SQLITE, sqliteResult } from "./sqlite-result.ts";

/** Below the limit of a call, so that a call says "database is locked" rather than nothing. */
const BUSY_TIMEOUT_MS = 5_000;
const RETRY_MS = 10;
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

/**
 * Opens the database, made where there is none, after it was found to be ours and sound. Throws `UnfitFile`, or
 * whatever stands in the way.
 */
export function openDatabase(file: string): DatabaseSync {
  const deadlineMs = performance.now() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      return openOnce(file);
    } catch (error) {
      if (sqliteResult(error) !== SQLITE.BUSY || performance.now() > deadlineMs) throw error;
    }
    // SQLite itself does not wait where another relay begins or ends the log.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
  }
}

/**
 * A write-ahead log keeps kill -9 from leaving half a version. `synchronous=FULL` has every commit reach the disk
 * before it is acknowledged, so that after a power cut, too, nothing older is there than was served: one fsync for
 * each new version, on a thread that no request waits for.
 */
function openOnce(file: string): DatabaseSync {
  makePrivate(file);
  const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    checkDatabase(db);
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
