import { readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/**
 * A database is one file and, while it is in use or after a crash, others beside it. They move before the
 * database does: a log that stayed behind would be played into the new one.
 */
export const BESIDE = ["-wal", "-shm", "-journal"];

/** Enough to see what went wrong; each may be as large as the backup. */
const KEPT = 3;

/** Moves a database out of the way and returns its new path. The oldest of those moved before are deleted. */
export function setAside(file: string, now: number): string {
  const timestamp = new Date(now).toISOString().replaceAll(/[-:.]/g, "");
  const aside = `${file}.corrupt-${timestamp}`;
  for (const suffix of [...BESIDE, ""]) {
    try {
      renameSync(file + suffix, aside + suffix);
    } catch (error) {
      // Most of them are there only while the database is used.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  deleteOldest(file);
  return aside;
}

function deleteOldest(file: string): void {
  const prefix = `${basename(file)}.corrupt-`;
  const names = readdirSync(dirname(file)).filter((name) => name.startsWith(prefix));
  const timestampOf = (name: string) => name.slice(prefix.length).split("-")[0] ?? "";
  const newest = [...new Set(names.map(timestampOf))].sort().slice(-KEPT);
  for (const name of names) {
    if (!newest.includes(timestampOf(name))) rmSync(join(dirname(file), name), { force: true });
  }
}
