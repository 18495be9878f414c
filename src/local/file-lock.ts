import { DatabaseSync } from "node:sqlite";
import { makePrivate } from "./private-file.ts";
import { SQLITE, sqliteResult } from "./sqlite-result.ts";

/** Longer than it takes another relay to check a file of some GB. */
const LOCK_TIMEOUT_MS = 30_000;

/**
 * Runs `work` while no other relay on this machine does so for the same file. The lock is SQLite's own, on an
 * empty database beside the file: it ends with the process that holds it, however that ends.
 */
export function withFileLock<T>(file: string, work: () => T): T {
  const path = `${file}.lock`;
  const lock = locked(path);
  try {
    return work();
  } finally {
    lock.close();
  }
}

function locked(path: string): DatabaseSync {
  makePrivate(path);
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: LOCK_TIMEOUT_MS });
    db.exec("BEGIN IMMEDIATE");
    return db;
  } catch (error) {
    db?.close();
    // What is known of the disk is as true of the file.
    if (sqliteResult(error) === SQLITE.FULL) throw error;
    // Without SQLite's code: whatever is wrong with the lock, the backup is not what is damaged.
    throw new Error(`its lock can't be had: ${(error as Error).message}`);
  }
}
