import type { DatabaseSync } from "node:sqlite";
import {
  BUSY_TIMEOUT_MS,
  type DatabaseSchema,
  deleteDatabase,
  fileIdentity,
  isUnusable,
  openDatabase,
  setAside,
} from "./database.ts";
import { describeSqliteError } from "./errors.ts";
import { withFileLock } from "./lock.ts";

interface ManagedDatabaseOptions<Tables> {
  readonly path: string;
  readonly schema: DatabaseSchema;
  /** Called each time the file was opened. The result is what {@link ManagedDatabase.use} returns. */
  readonly onOpened: (db: DatabaseSync) => Tables;
  /** Called when a corrupt file was renamed, and before a new one is created. `detail` is a sentence. */
  readonly onSetAside: (setAsideAs: string, detail: string) => void;
}

interface OpenFile<Tables> {
  readonly db: DatabaseSync;
  readonly tables: Tables;
  readonly identity: string | undefined;
}

/**
 * A database file that is opened on first use, and replaced by a new one when it turns out to be unusable: corrupt, of another
 * version, or another program's.
 */
export class ManagedDatabase<Tables> {
  readonly #options: ManagedDatabaseOptions<Tables>;
  #open: OpenFile<Tables> | undefined;
  /** The time of the current call, ms since the Unix epoch. */
  #now = 0;
  #busyTimeoutMs = BUSY_TIMEOUT_MS;

  constructor(options: ManagedDatabaseOptions<Tables>) {
    this.#options = options;
  }

  /** Runs `work`, and once more on a new file if the file turns out to be corrupt or to have been replaced. */
  withRecovery<T>(work: () => T, now: number): T {
    this.#now = now;
    try {
      return work();
    } catch (error) {
      if (!this.#recover(error)) throw error;
      return work();
    }
  }

  /** Opens the file if needed, also if it was deleted or replaced: otherwise nothing would find what is written to it. */
  use(): Tables {
    if (this.#wasReplaced()) this.close();
    this.#open ??= withFileLock(this.#options.path, () => this.#openNow());
    return this.#open.tables;
  }

  /** Undefined while the file is not open. */
  get tables(): Tables | undefined {
    return this.#open?.tables;
  }

  close(): void {
    const db = this.#open?.db;
    this.#open = undefined;
    db?.close();
  }

  /** Deletes the file and creates an empty one, before another relay that waits for the file can open it. */
  recreate(): void {
    const { path } = this.#options;
    withFileLock(path, () => {
      this.close();
      deleteDatabase(path);
      this.#open = this.#openNow();
    });
  }

  /** Sets how long SQLite waits for another process to unlock the file. */
  setBusyTimeout(ms: number): void {
    if (ms === this.#busyTimeoutMs) return;
    this.#open?.db.exec(`PRAGMA busy_timeout = ${ms}`);
    this.#busyTimeoutMs = ms;
  }

  #wasReplaced(): boolean {
    return this.#open !== undefined && this.#open.identity !== fileIdentity(this.#options.path);
  }

  #openNow(): OpenFile<Tables> {
    const { path, schema, onOpened } = this.#options;
    this.#busyTimeoutMs = BUSY_TIMEOUT_MS;
    let db: DatabaseSync;
    try {
      db = openDatabase(path, schema);
    } catch (error) {
      if (!isUnusable(error)) throw error;
      this.#setAside(error);
      db = openDatabase(path, schema);
    }
    try {
      return { db, tables: onOpened(db), identity: fileIdentity(path) };
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /** Makes way for a new file after an error while the file was in use. Returns false if the file is not the cause. */
  #recover(error: unknown): boolean {
    if (this.#open === undefined) return false;
    return withFileLock(this.#options.path, () => {
      const replaced = this.#wasReplaced();
      if (!replaced && !isUnusable(error)) return false;
      try {
        this.close();
      } catch {
        // Closing a corrupt file may fail, too.
      }
      // If the file was replaced, another relay was faster: the file there now is the new one.
      if (!replaced) this.#setAside(error);
      return true;
    });
  }

  #setAside(error: unknown): void {
    const { path, onSetAside } = this.#options;
    const setAsideAs = setAside(path, this.#now);
    const reason = describeSqliteError(error, path);
    onSetAside(
      setAsideAs,
      `${path} cannot be used (${reason}): renamed to ${setAsideAs}, starting with a new file`,
    );
  }
}
