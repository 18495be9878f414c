import { DatabaseSync } from "node:sqlite";
import { checkDatabase, type DatabaseShape, tablesIn } from "./database-check.ts";
import { makePrivate } from "./private-file.ts";
import { SQLITE, sqliteResult } from "./sqlite-result.ts";

/** How long a call waits for another process to unlock the file: below the limit of a call, so that it says who has the lock. */
export const BUSY_TIMEOUT_MS = 2_000;
const RETRY_MS = 10;
/** A log that one large commit swelled goes back to this. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;

/**
 * Opens the database, made where there is none, after it was found to be ours and sound. Throws `UnfitFile`, or
 * whatever stands in the way.
 */
export function openDatabase(file: string, shape: DatabaseShape): DatabaseSync {
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
function openOnce(file: string, shape: DatabaseShape): DatabaseSync {
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

function create(db: DatabaseSync, { schema, applicationId, version }: DatabaseShape): void {
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
