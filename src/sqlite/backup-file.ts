import {
  isRead,
  type LocalAction,
  type LocalLimits,
  type LocalOutcome,
  type LocalReply,
  type LocalWrite,
} from "./backup-calls.ts";
import { RelaySlots } from "./backup-users.ts";
import { BUSY_TIMEOUT_MS, SQLITE, sqliteResult } from "./database.ts";
import { describeSqliteError } from "./errors.ts";
import type { LocalEvent } from "./events.ts";
import { ManagedDatabase } from "./managed-database.ts";
import { SpecTable, specSchema } from "./spec-table.ts";

/** Used after a first timeout while another process has the file locked, so that reads do not queue up behind long waits. */
const STILL_BUSY_TIMEOUT_MS = 50;

/** The local backup's database file, used by the Worker. */
export class LocalBackupFile {
  readonly path: string;
  readonly #limits: LocalLimits;
  readonly #file: ManagedDatabase<SpecTable>;
  #events: LocalEvent[] = [];
  #slots: RelaySlots | undefined;
  #hasOpened = false;

  constructor(path: string, limits: LocalLimits) {
    this.path = path;
    this.#limits = limits;
    this.#file = new ManagedDatabase({
      path,
      schema: specSchema,
      onOpened: (db) => {
        this.#hasOpened = true;
        this.#slots?.[Symbol.dispose]();
        this.#slots = undefined;
        this.#slots = new RelaySlots(path);
        const table = new SpecTable(db, limits, this.#slots);
        this.#reportEvicted(table.shrink());
        return table;
      },
      onSetAside: (setAsideAs, detail) =>
        this.#events.push({ kind: "local_corrupt_set_aside", setAsideAs, detail }),
    });
  }

  /** Never throws: a failure is an outcome. */
  perform(action: LocalAction, now: number): LocalReply {
    this.#events = [];
    this.#hasOpened = false;
    const outcome = this.#attempt(action, now);
    return { outcome, hasOpened: this.#hasOpened, events: this.#events };
  }

  #attempt(action: LocalAction, now: number): LocalOutcome {
    try {
      const outcome = this.#file.withRecovery(() => this.#perform(action, now), now);
      if (!isRead(action)) this.#file.setBusyTimeout(BUSY_TIMEOUT_MS);
      return outcome;
    } catch (error) {
      if (sqliteResult(error) === SQLITE.BUSY) this.#file.setBusyTimeout(STILL_BUSY_TIMEOUT_MS);
      const detail = `the local backup ${this.path}: ${describeSqliteError(error, this.path)}`;
      return { kind: "failed", detail };
    }
  }

  #perform(action: LocalAction, now: number): LocalOutcome {
    switch (action.kind) {
      case "open":
        this.#open(now);
        return { kind: "done" };
      case "read":
        return this.#file.use().read(action);
      case "read_history":
        return this.#file.use().readHistory(action.feedDigest);
      case "write":
        return this.#write(action, now);
      case "touch":
        return { kind: this.#file.use().touch(action.feedDigest, now) ? "done" : "none" };
      case "remove":
        this.#file.use().remove(action.feedDigest);
        return { kind: "done" };
      case "read_pins":
        return this.#file.use().readPins();
      case "replace_pins":
        return this.#file.use().replacePins(action.expected, action.text);
      case "close":
        this.#file.close();
        this.#slots?.[Symbol.dispose]();
        return { kind: "done" };
    }
  }

  #open(now: number): void {
    const table = this.#file.use();
    if (table.hasEndedUsers(now)) this.#reportEvicted(table.shrink(now));
  }

  #write(action: LocalWrite, now: number): LocalOutcome {
    const { maxBytes } = this.#limits;
    const bytes = action.version.body.length;
    if (bytes > maxBytes)
      throw new Error(`a version of ${bytes} bytes exceeds the limit of ${maxBytes} bytes`);
    const { outcome, replacedDamage, evicted } = this.#file.use().write(action, now);
    if (replacedDamage) {
      const detail = `replaced a corrupt version in the local backup ${this.path}`;
      this.#events.push({ kind: "local_damage_replaced", detail });
    }
    this.#reportEvicted(evicted);
    return outcome;
  }

  #reportEvicted(versions: number): void {
    if (versions === 0) return;
    const { maxKeys, maxBytes } = this.#limits;
    const limits = `${maxKeys} SDK keys or ${maxBytes} bytes`;
    const detail = `the local backup ${this.path} reached its limit of ${limits}: evicted the least recently used`;
    this.#events.push({ kind: "local_evicted", versions, detail });
  }
}
