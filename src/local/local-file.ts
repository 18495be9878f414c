import type { DatabaseSync } from "node:sqlite";
import { openDatabase } from "./database.ts";
import { isUnfit } from "./database-check.ts";
import type { LocalEvent } from "./events.ts";
import { withFileLock } from "./file-lock.ts";
import type { KeptVersion, LocalAction, LocalLimits, LocalOutcome, LocalReply } from "./local-calls.ts";
import { identityOf } from "./private-file.ts";
import { setAside } from "./set-aside.ts";
import { SpecTable } from "./spec-table.ts";
import { inWords } from "./words.ts";

interface OpenFile {
  readonly db: DatabaseSync;
  readonly table: SpecTable;
  readonly identity: string | undefined;
}

/** The database file: opened with the first action, begun anew wherever it is found to be unfit. */
export class LocalFile {
  readonly path: string;
  readonly #limits: LocalLimits;
  #open: OpenFile | undefined;
  #events: LocalEvent[] = [];

  constructor(path: string, limits: LocalLimits) {
    this.path = path;
    this.#limits = limits;
  }

  /** Never throws: what went wrong is an outcome. */
  perform(action: LocalAction, now: number): LocalReply {
    this.#events = [];
    const outcome = this.#attempt(action, now);
    return { outcome, events: this.#events };
  }

  #attempt(action: LocalAction, now: number): LocalOutcome {
    try {
      try {
        return this.#do(action, now);
      } catch (error) {
        if (!this.#recovered(error, now)) throw error;
        return this.#do(action, now);
      }
    } catch (error) {
      return { kind: "failed", detail: `the embedded backup ${this.path}: ${inWords(error)}` };
    }
  }

  #do(action: LocalAction, now: number): LocalOutcome {
    switch (action.kind) {
      case "open":
        this.#table(now);
        return { kind: "done" };
      case "read":
        return this.#table(now).read(action.feedDigest, action.newerThan, now);
      case "write":
        return this.#write(action.version, action.instead, now);
      case "touch":
        return { kind: this.#table(now).touch(action.feedDigest, now) ? "done" : "none" };
      case "remove":
        this.#table(now).remove(action.feedDigest);
        return { kind: "done" };
      case "close":
        this.#close();
        return { kind: "done" };
    }
  }

  #write(version: KeptVersion, instead: number | undefined, now: number): LocalOutcome {
    const { maxBytes } = this.#limits;
    const bytes = version.body.length;
    if (bytes > maxBytes) throw new Error(`a version of ${bytes} bytes is more than the ${maxBytes} allowed`);
    const { outcome, replacedDamage, evicted } = this.#table(now).write(version, instead, now);
    if (replacedDamage) {
      const detail = `a version in the embedded backup ${this.path} was damaged: a good one took its place`;
      this.#events.push({ kind: "local_damage_replaced", detail });
    }
    this.#reportEvicted(evicted);
    return outcome;
  }

  /** Reopened where another file took the name, or none has it any more: what is written must be found again. */
  #table(now: number): SpecTable {
    if (this.#wasReplaced()) this.#close();
    this.#open ??= withFileLock(this.path, () => this.#openNow(now));
    return this.#open.table;
  }

  #wasReplaced(): boolean {
    return this.#open !== undefined && this.#open.identity !== identityOf(this.path);
  }

  #openNow(now: number): OpenFile {
    let db: DatabaseSync;
    try {
      db = openDatabase(this.path);
    } catch (error) {
      if (!isUnfit(error)) throw error;
      this.#setAside(error, now);
      db = openDatabase(this.path);
    }
    const table = new SpecTable(db, this.#limits);
    try {
      this.#reportEvicted(table.shrink());
    } catch (error) {
      db.close();
      throw error;
    }
    return { db, table, identity: identityOf(this.path) };
  }

  /** Whether there is a sound file again after an error that came up while it was used. */
  #recovered(error: unknown, now: number): boolean {
    if (this.#open === undefined) return false;
    return withFileLock(this.path, () => {
      const replaced = this.#wasReplaced();
      if (!replaced && !isUnfit(error)) return false;
      try {
        this.#close();
      } catch {
        // A damaged file may refuse even that.
      }
      // Where another relay was faster, the file that is there now is its new one.
      if (!replaced) this.#setAside(error, now);
      return true;
    });
  }

  #close(): void {
    const db = this.#open?.db;
    this.#open = undefined;
    db?.close();
  }

  #setAside(error: unknown, now: number): void {
    const setAsideAs = setAside(this.path, now);
    const detail = `${this.path} is unfit (${inWords(error)}): set aside as ${setAsideAs}, a new one is begun`;
    this.#events.push({ kind: "local_corrupt_set_aside", setAsideAs, detail });
  }

  #reportEvicted(versions: number): void {
    if (versions === 0) return;
    const { maxKeys, maxBytes } = this.#limits;
    const bounds = `${maxKeys} SDK keys or ${maxBytes} bytes`;
    const detail = `the embedded backup ${this.path} was at its bound of ${bounds}: the least recently used went`;
    this.#events.push({ kind: "local_evicted", versions, detail });
  }
}
