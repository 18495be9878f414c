import type { DatabaseSync } from "node:sqlite";
import { openDatabase } from "./database.ts";
import { isUnfit } from "./database-check.ts";
import type { LocalEvent } from "./events.ts";
import type { KeptVersion, LocalAction, LocalLimits, LocalOutcome, LocalReply } from "./local-calls.ts";
import { identityOf } from "./private-file.ts";
import { setAside } from "./set-aside.ts";
import { SpecTable } from "./spec-table.ts";
import { inWords } from "./words.ts";

interface OpenFile {
  readonly db: DatabaseSync;
  readonly table: SpecTable;
}

/** The database file: opened with the first action, begun anew wherever it is found to be unfit. */
export class LocalFile {
  readonly path: string;
  readonly #limits: LocalLimits;
  #open: OpenFile | undefined;
  /** Of the file that was opened last, or was to be. */
  #identity: string | undefined;
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
        if (!isUnfit(error)) throw error;
        this.#setAside(error, now);
        return this.#do(action, now);
      }
    } catch (error) {
      return { kind: "failed", detail: `the embedded backup ${this.path}: ${inWords(error)}` };
    }
  }

  #do(action: LocalAction, now: number): LocalOutcome {
    switch (action.kind) {
      case "open":
        this.#table();
        return { kind: "done" };
      case "read":
        return this.#table().read(action.feedDigest, action.newerThan, now);
      case "write":
        return this.#write(action.version, action.instead, now);
      case "touch":
        return { kind: this.#table().touch(action.feedDigest, now) ? "done" : "none" };
      case "remove":
        this.#table().remove(action.feedDigest);
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
    const { outcome, replacedDamage, evicted } = this.#table().write(version, instead, now);
    if (replacedDamage) {
      const detail = `a version in the embedded backup ${this.path} was damaged: a good one took its place`;
      this.#events.push({ kind: "local_damage_replaced", detail });
    }
    this.#reportEvicted(evicted);
    return outcome;
  }

  /** Reopened where another file took the name, or none has it any more: what is written must be found again. */
  #table(): SpecTable {
    if (this.#open !== undefined && this.#identity !== identityOf(this.path)) this.#close();
    this.#open ??= this.#openNow();
    return this.#open.table;
  }

  #openNow(): OpenFile {
    this.#identity = identityOf(this.path);
    const db = openDatabase(this.path);
    const table = new SpecTable(db, this.#limits);
    this.#identity = identityOf(this.path);
    this.#open = { db, table };
    this.#reportEvicted(table.shrink());
    return this.#open;
  }

  #close(): void {
    const db = this.#open?.db;
    this.#open = undefined;
    db?.close();
  }

  #setAside(error: Error, now: number): void {
    try {
      this.#close();
    } catch {
      // A damaged file may refuse even that.
    }
    // Another relay was faster, and has begun a new one already.
    if (identityOf(this.path) !== this.#identity) return;
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
