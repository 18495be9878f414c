import { createHash } from "node:crypto";
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { IdListEntry } from "./manifest.ts";

const NAME = "id-lists";
const LOCK = "lock";

/** Relays that share one path; each has a folder of its own, since two must not append to one file. */
const MAX_RELAYS = 64;

/** Where the files of ID lists are. Every method may throw an error of the file system, such as EACCES, EIO or ESTALE. */
export interface ListStorage extends Disposable {
  /** Names of the files in it. */
  files(): readonly string[];
  pathOf(name: string): string;
  /** Returns undefined if there is no such file. */
  bytesOf(name: string): number | undefined;
  /** Whether this process has the right to read the file. */
  isReadable(name: string): boolean;
  /** `wx` makes the file, for its owner alone, and rejects if it is there; `r+` writes to one that is there. */
  open(name: string, flags: "wx" | "r+" | "r"): Promise<FileHandle>;
  rename(from: string, to: string): void;
  /** Does nothing if there is no such file. */
  delete(name: string): void;
  /** Says to relays that start later that the folder was in use just now. Never throws. */
  markUsed(): void;
}

/** After so many folders that can't be used, no more are tried: it is the path that can't be. */
const MAX_UNUSABLE = 4;

/** A folder that no relay has used for so long is one that none will come back to. Longer than {@link MARK_USED_EVERY_MS}. */
const ABANDONED_MS = 2 * 3_600_000;

/** How often a relay is to mark its folder as used. */
export const MARK_USED_EVERY_MS = 3_600_000;

const OWNER_ONLY = 0o600;

/** A folder for the files of one relay, for as long as its process lives. */
export class ListFolder implements ListStorage {
  readonly path: string;
  readonly #lock: DatabaseSync;

  private constructor(path: string, lock: DatabaseSync) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * The first folder under `root` that no other relay has, so that a relay that starts anew finds its files. What
   * relays left behind in other folders is deleted when none has used it for some time: one may be about to start.
   */
  static claim(root: string, now = Date.now()): ListFolder {
    let claimed: ListFolder | undefined;
    const problems: unknown[] = [];
    for (let number = 0; number < MAX_RELAYS && problems.length < MAX_UNUSABLE; number++) {
      const path = join(root, NAME, String(number));
      if (claimed !== undefined) {
        abandonUnused(path, now);
        continue;
      }
      try {
        const lock = tryLock(path);
        if (lock !== undefined) claimed = new ListFolder(path, lock);
      } catch (error) {
        // Such as a lock file that is damaged: the next folder may be usable.
        problems.push(error);
      }
    }
    if (claimed === undefined) {
      throw problems[0] ?? new Error(`all ${MAX_RELAYS} folders of ${join(root, NAME)} are in use`);
    }
    claimed.markUsed();
    return claimed;
  }

  files(): readonly string[] {
    return readdirSync(this.path).filter((name) => !name.startsWith(LOCK));
  }

  pathOf(name: string): string {
    return join(this.path, name);
  }

  bytesOf(name: string): number | undefined {
    return statSync(this.pathOf(name), { throwIfNoEntry: false })?.size;
  }

  isReadable(name: string): boolean {
    try {
      accessSync(this.pathOf(name), constants.R_OK);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") return false;
      throw error;
    }
  }

  open(name: string, flags: "wx" | "r+" | "r"): Promise<FileHandle> {
    return open(this.pathOf(name), flags, OWNER_ONLY);
  }

  rename(from: string, to: string): void {
    renameSync(this.pathOf(from), this.pathOf(to));
  }

  delete(name: string): void {
    rmSync(this.pathOf(name), { force: true });
  }

  markUsed(): void {
    try {
      const now = new Date();
      utimesSync(this.pathOf(LOCK), now, now);
    } catch {
      // The times of the files in it say so, too.
    }
  }

  [Symbol.dispose](): void {
    this.markUsed();
    this.#lock.close();
  }
}

/** Never throws: what is left of another relay must not keep this one from its files. */
function abandonUnused(path: string, now: number): void {
  try {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) return;
    const lock = tryLock(path);
    if (lock === undefined) return;
    try {
      const names = readdirSync(path);
      const times = names.map((name) => statSync(join(path, name)).mtimeMs);
      if (now - Math.max(0, ...times) < ABANDONED_MS) return;
      for (const name of names) if (!name.startsWith(LOCK)) rmSync(join(path, name), { force: true });
    } finally {
      lock.close();
    }
  } catch {
    // It is tried again by the next relay that starts.
  }
}

/** A lock that goes with the process, however it ends. Undefined where another relay has it. */
function tryLock(path: string): DatabaseSync | undefined {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
  const file = join(path, LOCK);
  try {
    closeSync(openSync(file, "wx", OWNER_ONLY));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const db = new DatabaseSync(file, { timeout: 0 });
  try {
    db.exec("BEGIN EXCLUSIVE");
    return db;
  } catch (error) {
    db.close();
    if (/locked/.test(String(error))) return undefined;
    throw error;
  }
}

/** There is no more room. */
export class DiskFull extends Error {}

/**
 * Bounds the bytes of all files together. Each file counts as long as the disk says it is: a writer claims room before
 * it writes, and whoever wrote, cut or deleted a file settles it, whether or not that worked.
 */
export class DiskBudget {
  readonly #maxBytes: number;
  readonly #storage: Pick<ListStorage, "bytesOf">;
  readonly #freeUnused: (bytes: number) => void;
  readonly #bytes = new Map<string, number>();
  #usedBytes = 0;
  /** Of some file the disk didn't say how long it is: its last count stands. */
  isUncertain = false;

  /** `freeUnused` deletes files that can be spared, as many bytes as lack; it is called when the budget is used up. */
  constructor(maxBytes: number, storage: Pick<ListStorage, "bytesOf">, freeUnused: (bytes: number) => void) {
    this.#maxBytes = maxBytes;
    this.#storage = storage;
    this.#freeUnused = freeUnused;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Names of the files that count. */
  get names(): readonly string[] {
    return [...this.#bytes.keys()];
  }

  /** Throws {@link DiskFull} if `bytes` more do not fit. */
  check(bytes: number): void {
    const lacking = this.#usedBytes + bytes - this.#maxBytes;
    // What would not fit into an empty folder must not cost others their files.
    if (lacking > 0 && bytes <= this.#maxBytes) this.#freeUnused(lacking);
    if (this.#usedBytes + bytes <= this.#maxBytes) return;
    throw new DiskFull(
      `the files of all ID lists together would be larger than ${this.#maxBytes} bytes (--id-lists-max-in-mb)`,
    );
  }

  /** How much a file counts. */
  bytesOf(name: string): number {
    return this.#bytes.get(name) ?? 0;
  }

  /** Before bytes are written to a file. Throws {@link DiskFull}, and claims nothing. */
  claim(name: string, bytes: number): void {
    this.check(bytes);
    this.#set(name, (this.#bytes.get(name) ?? 0) + bytes);
  }

  /** Counts a file by its size on disk. */
  settle(name: string): void {
    try {
      this.#set(name, this.#storage.bytesOf(name) ?? 0);
    } catch {
      this.isUncertain = true;
    }
  }

  #set(name: string, bytes: number): void {
    this.#usedBytes += bytes - (this.#bytes.get(name) ?? 0);
    if (bytes > 0) this.#bytes.set(name, bytes);
    else this.#bytes.delete(name);
  }
}

/** The file of a list, as far as it is on disk. Bytes that are there never change: it grows, or another replaces it. */
export class ListFile {
  /** Tells files apart; where it is, which of its url's files it is, and of when. */
  readonly digest: string;
  readonly fileID: string;
  readonly creationTime: number;
  /** Of a list that has it; there may be others. */
  readonly listName: string;
  /** Verified bytes on disk, up to the last whole line. */
  bytes = 0;
  /** Upstream's file was there whole at some time: before that it is not served, since the beginning of a file is no list. */
  isWhole = false;
  /** It could not be read when it was served: the whole of it is fetched again. */
  isDamaged = false;
  /** Of the file in the folder; undefined before there is one. */
  name: string | undefined;
  /** Lists of manifests that have this file, or wait for it. */
  uses = 0;
  /** Why it is not as upstream's is, and since when (ms since the Unix epoch); undefined if it is. */
  problem: { readonly list: string; readonly detail: string; readonly since: number } | undefined;

  constructor(entry: IdListEntry) {
    this.digest = fileDigest(entry);
    this.fileID = entry.fileID;
    this.creationTime = entry.creationTime;
    this.listName = entry.name;
  }
}

/** The url counts without its query, which may be a signature that is another each time. */
export function fileDigest({ url, fileID, creationTime }: IdListEntry): string {
  const where = url.replace(/[?#].*$/s, "");
  return createHash("sha256")
    .update(JSON.stringify([where, fileID, creationTime]))
    .digest("hex");
}
