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

/** The limit of relays that share one path. Each has a folder of its own, because two must not append to the same file. */
const MAX_RELAYS = 64;

/** The folder of list files. A method may throw an error of the file system, such as EACCES, EIO or ESTALE. */
export interface ListStorage extends Disposable {
  /** Returns the names of the files. */
  files(): readonly string[];
  toPath(name: string): string;
  /** Returns the size in bytes, or undefined if there is no such file. */
  findSize(name: string): number | undefined;
  /** Whether this process has the right to read the file. */
  isReadable(name: string): boolean;
  /** `wx` creates a file that only its owner can access, and rejects if it exists; `r+` opens an existing file for writing. */
  open(name: string, flags: "wx" | "r+" | "r"): Promise<FileHandle>;
  rename(from: string, to: string): void;
  /** Does nothing if there is no such file. */
  delete(name: string): void;
  /** Marks the folder as used now, for relays that start later. Never throws. */
  markUsed(): void;
}

/** If this many folders are unusable, the path itself is, and no more are tried. */
const MAX_UNUSABLE = 4;

/** A folder that was not used for this long is abandoned. Must be longer than {@link MARK_USED_EVERY_MS}. */
const ABANDONED_MS = 2 * 3_600_000;

/** How often a relay marks its folder as used. */
export const MARK_USED_EVERY_MS = 3_600_000;

const OWNER_ONLY = 0o600;

/** A folder that is locked for one relay, as long as its process lives. */
export class ListFolder implements ListStorage {
  readonly path: string;
  readonly #lock: DatabaseSync;

  private constructor(path: string, lock: DatabaseSync) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Claims the first folder under `root` that no other relay has, so that a relay finds its files after a restart. Deletes the
   * files in other folders if no relay has used these for a while; before that, their relay may be about to restart.
   */
  static claim(root: string, now = Date.now()): ListFolder {
    let claimed: ListFolder | undefined;
    const problems: unknown[] = [];
    for (let number = 0; number < MAX_RELAYS && problems.length < MAX_UNUSABLE; number++) {
      const path = join(root, NAME, String(number));
      if (claimed !== undefined) {
        deleteIfAbandoned(path, now);
        continue;
      }
      try {
        const lock = tryLock(path);
        if (lock !== undefined) claimed = new ListFolder(path, lock);
      } catch (error) {
        // For example, the lock file is damaged. The next folder may be usable.
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

  toPath(name: string): string {
    return join(this.path, name);
  }

  findSize(name: string): number | undefined {
    return statSync(this.toPath(name), { throwIfNoEntry: false })?.size;
  }

  isReadable(name: string): boolean {
    try {
      accessSync(this.toPath(name), constants.R_OK);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") return false;
      throw error;
    }
  }

  open(name: string, flags: "wx" | "r+" | "r"): Promise<FileHandle> {
    return open(this.toPath(name), flags, OWNER_ONLY);
  }

  rename(from: string, to: string): void {
    renameSync(this.toPath(from), this.toPath(to));
  }

  delete(name: string): void {
    rmSync(this.toPath(name), { force: true });
  }

  markUsed(): void {
    try {
      const now = new Date();
      utimesSync(this.toPath(LOCK), now, now);
    } catch {
      // The times of the files count as well.
    }
  }

  [Symbol.dispose](): void {
    this.markUsed();
    this.#lock.close();
  }
}

/** Never throws: another relay's folder must not prevent this one from starting. */
function deleteIfAbandoned(path: string, now: number): void {
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
    // The next relay that starts tries again.
  }
}

/** Locks a folder until the process ends, in whatever way. Returns undefined if another relay has the lock. */
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

/** The files would exceed their limit of bytes. */
export class DiskFull extends Error {}

/**
 * Limits the bytes of all files together. A writer reserves bytes before it writes. After a file was written, truncated or deleted,
 * successfully or not, it is recounted by its size on disk.
 */
export class DiskBudget {
  readonly #maxBytes: number;
  readonly #storage: Pick<ListStorage, "findSize">;
  readonly #freeUnused: (bytes: number) => void;
  readonly #bytes = new Map<string, number>();
  #usedBytes = 0;
  /** An operation failed, so that the folder may have files that nothing refers to, or whose last count is wrong. */
  needsSweep = true;

  /** `freeUnused` is called when the budget is used up. It deletes unused files, of at least as many bytes if it can. */
  constructor(maxBytes: number, storage: Pick<ListStorage, "findSize">, freeUnused: (bytes: number) => void) {
    this.#maxBytes = maxBytes;
    this.#storage = storage;
    this.#freeUnused = freeUnused;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Names of the files that are counted. */
  get names(): readonly string[] {
    return [...this.#bytes.keys()];
  }

  /** Throws {@link DiskFull} if `bytes` more do not fit, after unused files were deleted. */
  check(bytes: number): void {
    const lacking = this.#usedBytes + bytes - this.#maxBytes;
    // If the bytes would not even fit into an empty folder, deleting other files is pointless.
    if (lacking > 0 && bytes <= this.#maxBytes) this.#freeUnused(lacking);
    if (this.#usedBytes + bytes <= this.#maxBytes) return;
    throw new DiskFull(
      `the files of all ID lists together would be larger than ${this.#maxBytes} bytes (--id-lists-max-in-mb)`,
    );
  }

  /** Returns the bytes that are counted for a file. */
  countedBytes(name: string): number {
    return this.#bytes.get(name) ?? 0;
  }

  /** Call this before bytes are written to a file. Throws {@link DiskFull}, and reserves nothing then. */
  reserve(name: string, bytes: number): void {
    this.check(bytes);
    this.#set(name, (this.#bytes.get(name) ?? 0) + bytes);
  }

  /** Counts a file by its size on disk. */
  recount(name: string): void {
    try {
      this.#set(name, this.#storage.findSize(name) ?? 0);
    } catch {
      this.needsSweep = true;
    }
  }

  #set(name: string, bytes: number): void {
    this.#usedBytes += bytes - (this.#bytes.get(name) ?? 0);
    if (bytes > 0) this.#bytes.set(name, bytes);
    else this.#bytes.delete(name);
  }
}

/** Why a file could not be read. */
export interface FileFailure {
  /** The code of the system error, such as EIO; undefined if it has none. */
  readonly code: string | undefined;
  /** Name and message of the error. */
  readonly detail: string;
}

/** A list file, as far as it is on disk. Its bytes never change: it grows, or another file replaces it. */
export class ListFile {
  /** Identifies the file by its URL, fileID and creationTime. */
  readonly digest: string;
  readonly fileID: string;
  readonly creationTime: number;
  /** The name of one of the lists that have this file. */
  readonly listName: string;
  /** Verified bytes on disk, up to the last whole line. */
  bytes = 0;
  /** The whole of upstream's file was on disk once. Until then it is not served: the beginning of a file is not a list. */
  isWhole = false;
  /** The file could not be read when it was served. All of it is downloaded again. */
  isDamaged = false;
  /** The name in the folder; undefined if nothing is on disk. */
  name: string | undefined;
  /** The number of lists in manifests that have this file or wait for it. */
  uses = 0;
  /** Why the file differs from upstream's, and since when (ms since the Unix epoch); undefined if it does not. */
  problem: { readonly list: string; readonly detail: string; readonly since: number } | undefined;

  constructor(entry: IdListEntry) {
    this.digest = digestFile(entry);
    this.fileID = entry.fileID;
    this.creationTime = entry.creationTime;
    this.listName = entry.name;
  }
}

/** Returns the digest that identifies an entry's file. The URL's query does not count: it may be a signature that changes each time. */
export function digestFile({ url, fileID, creationTime }: IdListEntry): string {
  const location = url.replace(/[?#].*$/s, "");
  return createHash("sha256")
    .update(JSON.stringify([location, fileID, creationTime]))
    .digest("hex");
}
