import { rmSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { BUSY_TIMEOUT_MS, openDatabase } from "./database.ts";
import { type DatabaseShape, isUnfit } from "./database-check.ts";
import { withFileLock } from "./file-lock.ts";
import { identityOf } from "./private-file.ts";
import { BESIDE, setAside } from "./set-aside.ts";
import { inWords } from "./words.ts";

export interface FitFileOptions<Tables> {
  readonly path: string;
  readonly shape: DatabaseShape;
  /** Called once the file is open, and again whenever it was opened anew. */
  readonly opened: (db: DatabaseSync) => Tables;
  /** It was unfit: moved out of the way, and a new one begun. `detail` is a sentence. */
  readonly onSetAside: (setAsideAs: string, detail: string) => void;
}

interface OpenFile<Tables> {
  readonly db: DatabaseSync;
  readonly tables: Tables;
  readonly identity: string | undefined;
}

/** A database file that is opened with its first use, and begun anew wherever it is found to be unfit. */
export class FitFile<Tables> {
  readonly #options: FitFileOptions<Tables>;
  #open: OpenFile<Tables> | undefined;
  /** Of the last attempt, ms since the Unix epoch. */
  #now = 0;
  #busyTimeoutMs = BUSY_TIMEOUT_MS;

  constructor(options: FitFileOptions<Tables>) {
    this.#options = options;
  }

  /** Does it, and does it again on a new file where the one that was there is unfit. */
  attempt<T>(work: () => T, now: number): T {
    this.#now = now;
    try {
      return work();
    } catch (error) {
      if (!this.#recovered(error)) throw error;
      return work();
    }
  }

  /** Reopened where another file took the name, or none has it any more: what is written must be found again. */
  use(): Tables {
    if (this.#wasReplaced()) this.close();
    this.#open ??= withFileLock(this.#options.path, () => this.#openNow());
    return this.#open.tables;
  }

  /** Undefined where it is not open. */
  get tables(): Tables | undefined {
    return this.#open?.tables;
  }

  close(): void {
    const db = this.#open?.db;
    this.#open = undefined;
    db?.close();
  }

  /** Deletes it and begins a new one, before another relay that waits for the file can open it. */
  renew(): void {
    const { path } = this.#options;
    withFileLock(path, () => {
      this.close();
      for (const suffix of ["", ...BESIDE]) rmSync(path + suffix, { force: true });
      this.#open = this.#openNow();
    });
  }

  /** From now on, how long it waits for another process to unlock the file. */
  waitForLocks(ms: number): void {
    if (ms === this.#busyTimeoutMs) return;
    this.#open?.db.exec(`PRAGMA busy_timeout = ${ms}`);
    this.#busyTimeoutMs = ms;
  }

  #wasReplaced(): boolean {
    return this.#open !== undefined && this.#open.identity !== identityOf(this.#options.path);
  }

  #openNow(): OpenFile<Tables> {
    const { path, shape, opened } = this.#options;
    this.#busyTimeoutMs = BUSY_TIMEOUT_MS;
    let db: DatabaseSync;
    try {
      db = openDatabase(path, shape);
    } catch (error) {
      if (!isUnfit(error)) throw error;
      this.#setAside(error);
      db = openDatabase(path, shape);
    }
    try {
      return { db, tables: opened(db), identity: identityOf(path) };
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /** Whether there is a sound file again after an error that came up while it was used. */
  #recovered(error: unknown): boolean {
    if (this.#open === undefined) return false;
    return withFileLock(this.#options.path, () => {
      const replaced = this.#wasReplaced();
      if (!replaced && !isUnfit(error)) return false;
      try {
        this.close();
      } catch {
        // A damaged file may refuse even that.
      }
      // Where another relay was faster, the file that is there now is its new one.
      if (!replaced) this.#setAside(error);
      return true;
    });
  }

  #setAside(error: unknown): void {
    const { path, onSetAside } = this.#options;
    const setAsideAs = setAside(path, this.#now);
    onSetAside(
      setAsideAs,
      `${path} is unfit (${inWords(error, path)}): set aside as ${setAsideAs}, a new one is begun`,
    );
  }
}
