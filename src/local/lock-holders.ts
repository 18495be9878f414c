import { readFileSync, statSync } from "node:fs";
import { BESIDE } from "./set-aside.ts";

/**
 * The other processes that hold a lock on a database file, such as "sqlite3 (process 4711)". Empty if none does, or if
 * this can't be known: only Linux lists locks, and only those of processes that this one can see.
 */
export function describeLockHolders(file: string): string {
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
