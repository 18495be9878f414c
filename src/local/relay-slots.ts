import { lockFile } from "./file-lock.ts";
import { SQLITE, sqliteResult } from "./sqlite-result.ts";

/** Relays that may have one file open at the same time. */
const MAX_SLOTS = 64;

/**
 * Tells apart the relays that have one file open: each has a number, from 1 on, by a lock file beside the database. A relay
 * that ends, however it ends, frees its number, so that a single relay has the same one after each restart.
 */
export class RelaySlots implements Disposable {
  readonly #file: string;
  /** The number of this relay. */
  readonly own: number;
  readonly #lock: Disposable;

  /** Throws if no number is free, or none can be locked. */
  constructor(file: string) {
    this.#file = file;
    for (let slot = 1; slot <= MAX_SLOTS; slot++) {
      const lock = this.#tryLock(slot);
      if (lock === undefined) continue;
      this.own = slot;
      this.#lock = lock;
      return;
    }
    throw new Error(`${MAX_SLOTS} relays use it already: give this one a folder of its own`);
  }

  /** Whether a running relay has this number. */
  isTaken(slot: number): boolean {
    if (slot === this.own) return true;
    const lock = this.#tryLock(slot);
    lock?.[Symbol.dispose]();
    return lock === undefined;
  }

  #tryLock(slot: number): Disposable | undefined {
    try {
      return lockFile(`${this.#file}.relay-${slot}`, 0);
    } catch (error) {
      if (sqliteResult(error) === SQLITE.BUSY) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }
}
