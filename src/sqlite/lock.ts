import { readFileSync, statSync, truncateSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { BESIDE, makePrivate, SQLITE, sqliteResult } from "./database.ts";

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
    throw new Error(`its lock file ${path}: ${describeSqliteError(error, path)}`);
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

/**
 * The other processes that hold a lock on a database file, such as "sqlite3 (process 4711)". Empty if none does, or if
 * this can't be known: only Linux lists locks, and only those of processes that this one can see.
 */
function describeLockHolders(file: string): string {
  const inodes = new Set(["", ...BESIDE].flatMap((suffix) => inodeOf(file + suffix) ?? []));
  const locks = readLocks().filter(({ inode, pid }) => inodes.has(inode) && pid !== process.pid && pid > 0);
  // A reader holds up only those who want the file for themselves.
  const writers = locks.filter(({ isWrite }) => isWrite);
  const pids = new Set((writers.length > 0 ? writers : locks).map(({ pid }) => pid));
  return [...pids].map((pid) => `${nameOf(pid)} (process ${pid})`).join(", ");
}

interface Lock {
  readonly pid: number;
  readonly isWrite: boolean;
  /** As `/proc/locks` names it: the device in hexadecimal, the number of the file in decimal. */
  readonly inode: string;
}

function readLocks(): Lock[] {
  const lines = readText("/proc/locks").matchAll(/: POSIX +\w+ +(READ|WRITE) +(\d+) (\S+) /g);
  return Array.from(lines, ([, access, pid, inode = ""]) => ({
    pid: Number(pid),
    isWrite: access === "WRITE",
    inode,
  }));
}

/** The kernel's encoding of a device: 12 bits of major number, 20 of minor number. */
function inodeOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const major = (stat.dev >>> 8) & 0xfff;
  const minor = (stat.dev & 0xff) | ((stat.dev >>> 12) & 0xfff00);
  const hex = (part: number) => part.toString(16).padStart(2, "0");
  return `${hex(major)}:${hex(minor)}:${stat.ino}`;
}

const nameOf = (pid: number): string => readText(`/proc/${pid}/comm`).trim() || "a program";

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const WORDS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOTDIR: "a part of the path is a file, not a folder",
  EEXIST: "a part of the path is a file, not a folder",
  ENOENT: "the folder can't be made",
  EROFS: "the file system is read-only",
  ENOSPC: "no space left on the disk",
  EDQUOT: "the disk quota is used up",
};

/** Why a database file can't be used, in words for people. */
export function describeSqliteError(error: unknown, file: string): string {
  if (!(error instanceof Error)) return String(error);
  if (sqliteResult(error) === SQLITE.BUSY)
    return `locked by ${describeLockHolders(file) || "another process"}`;
  const code = "code" in error ? String(error.code) : "";
  return WORDS[code] ?? error.message;
}
