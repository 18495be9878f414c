import { describeLockHolders } from "./lock-holders.ts";
import { SQLITE, sqliteResult } from "./sqlite-result.ts";

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
export function inWords(error: unknown, file: string): string {
  if (!(error instanceof Error)) return String(error);
  if (sqliteResult(error) === SQLITE.BUSY)
    return `locked by ${describeLockHolders(file) || "another process"}`;
  const code = "code" in error ? String(error.code) : "";
  return WORDS[code] ?? error.message;
}
