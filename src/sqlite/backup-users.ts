import type { DatabaseSync } from "node:sqlite";
import { SQLITE, Statements, sqliteResult } from "./database.ts";
import { lockFile } from "./lock.ts";

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

/** A table of its own, which a file that an older relay began gets when it is opened. */
const SCHEMA = `CREATE TABLE IF NOT EXISTS spec_user (
  slot INTEGER NOT NULL,
  sdk_key TEXT NOT NULL,
  PRIMARY KEY (sdk_key, slot)
) STRICT, WITHOUT ROWID`;

const USERS = "SELECT 1 FROM spec_user AS user WHERE user.sdk_key = spec.sdk_key";

/** SQL, of a row of `spec`: no running relay uses it. */
export const UNUSED = `NOT EXISTS (${USERS})`;

/** SQL, of a row of `spec`: what the relay in the slot that is its one parameter must keep within its bounds. */
export const OWN = `(${UNUSED} OR EXISTS (${USERS} AND user.slot = ?))`;

/** As long as a machine may take to start, or a deployment. */
const GRACE_MS = 30 * 60_000;

/** Which relays use which keys, so that none deletes what another running relay needs. Keys are digests. */
export class SpecUsers {
  readonly #statements: Statements;
  readonly #slots: RelaySlots;
  /** Since when this relay has seen that no relay has the slot, ms since the Unix epoch. */
  readonly #freeSince = new Map<number, number>();

  constructor(db: DatabaseSync, slots: RelaySlots) {
    db.exec(SCHEMA);
    this.#statements = new Statements(db);
    this.#slots = slots;
  }

  get ownSlot(): number {
    return this.#slots.own;
  }

  /** This relay uses the key. Writes nothing where that is known. */
  add(sdkKey: string): void {
    const known = "SELECT 1 FROM spec_user WHERE slot = ? AND sdk_key = ?";
    if (this.#statements.get(known, this.ownSlot, sdkKey) !== undefined) return;
    this.#statements.run("INSERT INTO spec_user (slot, sdk_key) VALUES (?, ?)", this.ownSlot, sdkKey);
  }

  /** This relay no longer uses the key. */
  delete(sdkKey: string): void {
    this.#statements.run("DELETE FROM spec_user WHERE slot = ? AND sdk_key = ?", this.ownSlot, sdkKey);
  }

  /** Forgets what this relay used and the table of specs no longer has. */
  deleteEvicted(): void {
    const sql = "DELETE FROM spec_user WHERE slot = ? AND sdk_key NOT IN (SELECT sdk_key FROM spec)";
    this.#statements.run(sql, this.ownSlot);
  }

  hasOther(sdkKey: string): boolean {
    const rows = this.#statements.all("SELECT slot FROM spec_user WHERE sdk_key = ?", sdkKey);
    return rows.some(({ slot }) => Number(slot) !== this.ownSlot && this.#slots.isTaken(Number(slot)));
  }

  /** Relays that use something, and have not run for a while: one that is only restarted finds what it had. */
  ended(now: number): number[] {
    const rows = this.#statements.all("SELECT DISTINCT slot FROM spec_user");
    return rows.map(({ slot }) => Number(slot)).filter((slot) => this.#hasEnded(slot, now));
  }

  #hasEnded(slot: number, now: number): boolean {
    if (this.#slots.isTaken(slot)) {
      this.#freeSince.delete(slot);
      return false;
    }
    const freeSince = this.#freeSince.get(slot) ?? now;
    this.#freeSince.set(slot, freeSince);
    return now - freeSince >= GRACE_MS;
  }

  /** Forgets what they used. */
  deleteEnded(now: number): void {
    for (const slot of this.ended(now)) this.#statements.run("DELETE FROM spec_user WHERE slot = ?", slot);
  }
}
