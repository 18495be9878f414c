import { rmSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { withTimeout } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { LoopName, Supervisor } from "../platform/supervisor.ts";
import {
  BESIDE,
  BUSY_TIMEOUT_MS,
  type DatabaseSchema,
  identityOf,
  isCorrupt,
  openDatabase,
  setAside,
} from "./database.ts";
import { describeSqliteError, withFileLock } from "./lock.ts";

interface ManagedDatabaseOptions<Tables> {
  readonly path: string;
  readonly shape: DatabaseSchema;
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
export class ManagedDatabase<Tables> {
  readonly #options: ManagedDatabaseOptions<Tables>;
  #open: OpenFile<Tables> | undefined;
  /** Of the last attempt, ms since the Unix epoch. */
  #now = 0;
  #busyTimeoutMs = BUSY_TIMEOUT_MS;

  constructor(options: ManagedDatabaseOptions<Tables>) {
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
      if (!isCorrupt(error)) throw error;
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
      if (!replaced && !isCorrupt(error)) return false;
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
      `${path} is unfit (${describeSqliteError(error, path)}): set aside as ${setAsideAs}, a new one is begun`,
    );
  }
}

interface OpeningOptions {
  readonly loop: LoopName;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  /** Opens the file, or sees to it that it is still the one that was opened. Rejects if it can't be used. */
  readonly open: () => Promise<void>;
  /** Called once, until it is usable. */
  readonly onUnusable: (detail: string) => void;
  /** Called once it is usable, at first and after each time that it was not. `wasReported`: as unusable. */
  readonly onUsable: (wasReported: boolean) => void;
}

const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 5_000;
/** A file that another one replaced while nothing was read or written is noticed within this. */
const CHECK_EVERY_MS = 10_000;
/** How long calls wait for the first attempt, from its start: the file may be large, or locked by a relay that just ends. */
const FIRST_ATTEMPT_MS = 3_000;

/** Opens a file in the background, for as long as it takes: another process may have it, or its folder be read-only. */
export class Opening implements AsyncDisposable {
  readonly #options: OpeningOptions;
  readonly #stopping = new AbortController();
  readonly #firstAttempt = Promise.withResolvers<void>();
  /** One for all calls: none waits again where others have waited already. */
  readonly #firstWait: Promise<unknown>;
  #isUsable = false;
  #failure: string | undefined;
  #failures = 0;
  readonly #running: Promise<void>;

  constructor(options: OpeningOptions) {
    const { loop, clock, supervisor } = options;
    this.#options = options;
    this.#firstWait = withTimeout(this.#firstAttempt.promise, FIRST_ATTEMPT_MS, clock);
    this.#running = supervisor.loop(loop, this.#stopping.signal, () => this.#round());
  }

  get isUsable(): boolean {
    return this.#isUsable;
  }

  /** Rejects with the reason if the file can't be used. Waits for the first attempt, but not for ever. */
  async usable(): Promise<void> {
    if (this.#isUsable) return;
    await this.attempted();
    if (!this.#isUsable) throw new Error(this.#failure ?? "it takes long to open");
  }

  /** Resolves after the first attempt, or if that takes long. */
  async attempted(): Promise<void> {
    if (this.#failures > 0) return;
    await this.#firstWait;
  }

  async #round(): Promise<void> {
    const { clock } = this.#options;
    const delayMs = (await this.#attempt())
      ? CHECK_EVERY_MS
      : Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    await clock.sleep(delayMs, this.#stopping.signal).catch(() => {});
  }

  async #attempt(): Promise<boolean> {
    const { open, onUnusable, onUsable } = this.#options;
    try {
      await open();
    } catch (error) {
      if (this.#stopping.signal.aborted) return false;
      this.#failure = (error as Error).message;
      this.#isUsable = false;
      if (this.#failures++ === 0) onUnusable(this.#failure);
      this.#firstAttempt.resolve();
      return false;
    }
    const wasUsable = this.#isUsable;
    const wasReported = this.#failures > 0;
    this.#isUsable = true;
    this.#failures = 0;
    if (!wasUsable) onUsable(wasReported);
    this.#firstAttempt.resolve();
    return true;
  }

  /** No further attempts. One that is under way ends when `open` does. */
  stop(): void {
    this.#stopping.abort();
    this.#firstAttempt.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.#running;
  }
}
