import { readFileSync, statSync } from "node:fs";
import { describeErrno } from "../platform/errors.ts";
import { COMPANION_SUFFIXES, SQLITE, sqliteResult } from "./database.ts";

/** Errors of creating the folder and opening the file. */
const FOLDER_MESSAGES: Readonly<Record<string, string>> = {
  ENOTDIR: "a part of the path is a file, not a folder",
  EEXIST: "a part of the path is a file, not a folder",
  ENOENT: "the folder can't be created",
};

/** Returns a message that says why a database file can't be used, and for a locked file by which process. */
export function describeSqliteError(error: unknown, file: string): string {
  if (!(error instanceof Error)) return String(error);
  if (sqliteResult(error) === SQLITE.BUSY)
    return `locked by ${describeLockHolders(file) || "another process"}`;
  const isSystemError = "errno" in error && "syscall" in error;
  if (!isSystemError) return error.message;
  const described = describeErrno(error, FOLDER_MESSAGES);
  // The message of the system may be shown, because the paths of databases are not secret.
  return described === (error as NodeJS.ErrnoException).code ? error.message : described;
}

/**
 * Returns the other processes that hold a lock on a database file, such as "sqlite3 (process 4711)". Empty if unknown: only
 * Linux lists locks, and only those of processes in the same PID namespace.
 */
function describeLockHolders(file: string): string {
  const inodes = new Set(["", ...COMPANION_SUFFIXES].flatMap((suffix) => findInode(file + suffix) ?? []));
  const locks = readLocks().filter(({ inode, pid }) => inodes.has(inode) && pid !== process.pid && pid > 0);
  // Readers block only processes that want exclusive access, so name them only if there is no writer.
  const writers = locks.filter(({ isWrite }) => isWrite);
  const pids = new Set((writers.length > 0 ? writers : locks).map(({ pid }) => pid));
  return [...pids].map((pid) => `${readProcessName(pid)} (process ${pid})`).join(", ");
}

interface Lock {
  readonly pid: number;
  readonly isWrite: boolean;
  /** In the format of `/proc/locks`: the device in hexadecimal, the inode number in decimal. */
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

/** Decodes the device number as the kernel encodes it: 12 bits of major number, 20 bits of minor number. */
function findInode(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const major = (stat.dev >>> 8) & 0xfff;
  const minor = (stat.dev & 0xff) | ((stat.dev >>> 12) & 0xfff00);
  const hex = (part: number) => part.toString(16).padStart(2, "0");
  return `${hex(major)}:${hex(minor)}:${stat.ino}`;
}

const readProcessName = (pid: number): string => readText(`/proc/${pid}/comm`).trim() || "a program";

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
