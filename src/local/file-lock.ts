import { statSync, truncateSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { makePrivate } from "./private-file.ts";
import { SQLITE, sqliteResult } from "./sqlite-result.ts";
import { inWords } from "./words.ts";

/** Another relay may be checking a file of some GB for longer than this: then this one tries again later. */
const LOCK_TIMEOUT_MS = 2_000;

/** Runs `work` while no other relay on this machine does so for the same file. */
export function withFileLock<T>(file: string, work: () => T): T {
  using _ = lockFor(`${file}.lock`);
  return work();
}

function lockFor(path: string): Disposable {
  try {
    return lockFile(path, LOCK_TIMEOUT_MS);
  } catch (error) {
    // What is known of the disk is as true of the file.
    if (sqliteResult(error) === SQLITE.FULL) throw error;
    // Without SQLite's code: whatever is wrong with the lock, the database is not what is damaged.
    throw new Error(`its lock file ${path}: ${inWords(error, path)}`);
  }
}

/**
 * Locks a file until it is disposed of, or this process ends, however it ends: the lock is SQLite's own, on an empty
 * database. Throws if another process has the lock for longer than `timeoutMs`.
 */
export function lockFile(path: string, timeoutMs: number): Disposable {
  makePrivate(path);
  // A lock file is always empty. Anything in it was written by another program, and SQLite would refuse to lock
  // it. It is emptied, not replaced: a lock that another process holds on it stays valid.
  if (statSync(path).size > 0) truncateSync(path);
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: timeoutMs });
    // No journal beside it: it would need room on a disk that may be full.
    db.exec("PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE");
  } catch (error) {
    db?.close();
    throw error;
  }
  return { [Symbol.dispose]: () => db.close() };
}
