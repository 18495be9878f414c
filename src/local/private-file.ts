import { chmodSync, closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { BESIDE } from "./set-aside.ts";

const OWNER_ONLY = 0o600;

/** Sees to it that the file, those beside it, and a folder that has to be made are open to their owner alone. Throws if it is no file. */
export function makePrivate(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    // SQLite gives the files beside it the mode of this one. A file that is there must not be opened and closed
    // here: that would take away the locks that this process holds on it.
    closeSync(openSync(file, "wx", OWNER_ONLY));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  for (const suffix of ["", ...BESIDE]) {
    const mode = modeOf(file + suffix);
    if (mode !== undefined && mode !== OWNER_ONLY) chmodSync(file + suffix, OWNER_ONLY);
  }
}

function modeOf(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isFile()) throw new Error(`${path} is a folder, socket or the like, not a file: remove it`);
  return stat.mode & 0o777;
}

/** Tells a file from another that took its name; undefined where there is none. */
export function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}
