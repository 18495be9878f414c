import { statSync, truncateSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { makePrivate, SQLITE, sqliteResult } from "./database.ts";
import { describeSqliteError } from "./errors.ts";

/** Another relay may hold the lock for longer while it checks a file of several GB. The caller then tries again later. */
const LOCK_TIMEOUT_MS = 2_000;

/** Runs `work` while holding a lock that excludes all other relays that use the same file. */
export function withFileLock<T>(file: string, work: () => T): T {
  using _ = lockFor(`${file}.lock`);
  return work();
}

function lockFor(path: string): Disposable {
  try {
    return lockFile(path, LOCK_TIMEOUT_MS);
  } catch (error) {
    // A full disk concerns the database as well.
    if (sqliteResult(error) === SQLITE.FULL) throw error;
    // Rethrown without SQLite's result code, so that a corrupt lock file is not mistaken for a corrupt database.
    throw new Error(`its lock file ${path}: ${describeSqliteError(error, path)}`);
  }
}

/**
 * Locks a file until the result is disposed or the process ends, even by a signal: the lock is SQLite's own, on an empty
 * database. Throws if another process holds the lock for longer than `timeoutMs`.
 */
export function lockFile(path: string, timeoutMs: number): Disposable {
  makePrivate(path);
  // A lock file is always empty. SQLite would refuse to lock a file in which another program has written anything. The file is
  // truncated, not replaced, so that a lock that another process holds on it stays valid.
  if (statSync(path).size > 0) truncateSync(path);
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: timeoutMs });
    // A journal file would need space on a disk that may be full.
    db.exec("PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE");
  } catch (error) {
    db?.close();
    throw error;
  }
  return { [Symbol.dispose]: () => db.close() };
}
