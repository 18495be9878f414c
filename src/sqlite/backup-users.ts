import type { DatabaseSync } from "node:sqlite";
import { SQLITE, Statements, sqliteResult } from "./database.ts";
import { lockFile } from "./lock.ts";

/** The maximum number of relays that have one file open at the same time. */
const MAX_SLOTS = 64;

/**
 * Gives each relay that has the file open a slot number, from 1 on, by locking a file next to the database. The lock is released
 * when the relay ends, even by a signal, so that a single relay has the same slot after each restart.
 */
export class RelaySlots implements Disposable {
  readonly #file: string;
  /** This relay's slot. */
  readonly own: number;
  readonly #lock: Disposable;

  /** Throws if all slots are taken, or if a lock file can't be used. */
  constructor(file: string) {
    this.#file = file;
    for (let slot = 1; slot <= MAX_SLOTS; slot++) {
      const lock = this.#tryLock(slot);
      if (lock === undefined) continue;
      this.own = slot;
      this.#lock = lock;
      return;
    }
    throw new Error(`${MAX_SLOTS} relays use it already: configure another folder for this one`);
  }

  /** Whether a running relay has this slot. */
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

/** Created when the file is opened: files written by older versions of the relay lack it. */
const SCHEMA = `CREATE TABLE IF NOT EXISTS spec_user (
  slot INTEGER NOT NULL,
  sdk_key TEXT NOT NULL,
  PRIMARY KEY (sdk_key, slot)
) STRICT, WITHOUT ROWID`;

const USERS = "SELECT 1 FROM spec_user AS user WHERE user.sdk_key = spec.sdk_key";

/** SQL condition on a row of `spec`: no relay uses it. */
export const UNUSED = `NOT EXISTS (${USERS})`;

/** SQL condition on a row of `spec`: it counts towards the limits of the relay whose slot is the parameter. */
export const OWN = `(${UNUSED} OR EXISTS (${USERS} AND user.slot = ?))`;

/** How long a relay may be gone before its versions count as unused: a reboot or a deployment must fit in. */
const GRACE_MS = 30 * 60_000;

/** The table `spec_user`: which relays use which SDK keys, so that no relay deletes what another one needs. Keys are digests. */
export class SpecUsers {
  readonly #statements: Statements;
  readonly #slots: RelaySlots;
  /** When this relay first saw the slot free, ms since the Unix epoch. */
  readonly #freeSince = new Map<number, number>();

  constructor(db: DatabaseSync, slots: RelaySlots) {
    db.exec(SCHEMA);
    this.#statements = new Statements(db);
    this.#slots = slots;
  }

  get ownSlot(): number {
    return this.#slots.own;
  }

  /** Records that this relay uses the key. Writes nothing if that is recorded already. */
  add(sdkKey: string): void {
    const known = "SELECT 1 FROM spec_user WHERE slot = ? AND sdk_key = ?";
    if (this.#statements.get(known, this.ownSlot, sdkKey) !== undefined) return;
    this.#statements.run("INSERT INTO spec_user (slot, sdk_key) VALUES (?, ?)", this.ownSlot, sdkKey);
  }

  /** Records that this relay no longer uses the key. */
  delete(sdkKey: string): void {
    this.#statements.run("DELETE FROM spec_user WHERE slot = ? AND sdk_key = ?", this.ownSlot, sdkKey);
  }

  /** Deletes this relay's entries for keys that have no versions any more. */
  deleteEvicted(): void {
    const sql = "DELETE FROM spec_user WHERE slot = ? AND sdk_key NOT IN (SELECT sdk_key FROM spec)";
    this.#statements.run(sql, this.ownSlot);
  }

  /** Whether another running relay uses the key. */
  hasOther(sdkKey: string): boolean {
    const rows = this.#statements.all("SELECT slot FROM spec_user WHERE sdk_key = ?", sdkKey);
    return rows.some(({ slot }) => Number(slot) !== this.ownSlot && this.#slots.isTaken(Number(slot)));
  }

  /** Returns the slots that have entries and have been free for the grace period: a relay that is only restarted keeps its own. */
  findEnded(now: number): number[] {
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

  /** Deletes the entries of relays that have ended. */
  deleteEnded(now: number): void {
    for (const slot of this.findEnded(now))
      this.#statements.run("DELETE FROM spec_user WHERE slot = ?", slot);
  }
}
