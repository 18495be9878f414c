import { rmSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { openDatabase } from "./database.ts";
import { type DatabaseShape, isUnfit } from "./database-check.ts";
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

/** A database file that is opened with its first use, and begun anew wherever it is found to be unfit. */
export class FitFile<Tables> {
  readonly #options: FitFileOptions<Tables>;
  #db: DatabaseSync | undefined;
  #tables: Tables | undefined;
  /** Of the file that was opened last, or was to be. */
  #identity: string | undefined;

  constructor(options: FitFileOptions<Tables>) {
    this.#options = options;
  }

  /** Does it, and does it again on a new file where the one that was there is unfit. */
  attempt<T>(work: () => T, now: number): T {
    try {
      return work();
    } catch (error) {
      if (!isUnfit(error)) throw error;
      this.#setAside(error, now);
      return work();
    }
  }

  /** Reopened where another file took the name, or none has it any more: what is written must be found again. */
  use(): Tables {
    if (this.#tables !== undefined && this.#identity === identityOf(this.#options.path)) return this.#tables;
    this.close();
    const { path, shape, opened } = this.#options;
    this.#identity = identityOf(path);
    this.#db = openDatabase(path, shape);
    this.#identity = identityOf(path);
    this.#tables = opened(this.#db);
    return this.#tables;
  }

  /** Undefined where it is not open. */
  get tables(): Tables | undefined {
    return this.#tables;
  }

  close(): void {
    const db = this.#db;
    this.#db = undefined;
    this.#tables = undefined;
    db?.close();
  }

  /** Closes and deletes it. */
  discard(): void {
    this.close();
    for (const suffix of ["", ...BESIDE]) rmSync(this.#options.path + suffix, { force: true });
  }

  #setAside(error: Error, now: number): void {
    const { path, onSetAside } = this.#options;
    try {
      this.close();
    } catch {
      // A damaged file may refuse even that.
    }
    // Another relay was faster, and has begun a new one already.
    if (identityOf(path) !== this.#identity) return;
    const setAsideAs = setAside(path, now);
    onSetAside(
      setAsideAs,
      `${path} is unfit (${inWords(error)}): set aside as ${setAsideAs}, a new one is begun`,
    );
  }
}
