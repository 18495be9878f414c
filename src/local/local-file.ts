import { BUSY_TIMEOUT_MS } from "./database.ts";
import type { LocalEvent } from "./events.ts";
import { FitFile } from "./fit-file.ts";
import type { LocalAction, LocalLimits, LocalOutcome, LocalReply, LocalWrite } from "./local-calls.ts";
import { RelaySlots } from "./relay-slots.ts";
import { specShape } from "./spec-shape.ts";
import { SpecTable } from "./spec-table.ts";
import { SQLITE, sqliteResult } from "./sqlite-result.ts";
import { inWords } from "./words.ts";

/** While another process has the file locked, no call waits as long as the first did: reads would queue up behind it. */
const STILL_BUSY_TIMEOUT_MS = 50;

/** The database of the embedded backup. */
export class LocalFile {
  readonly path: string;
  readonly #limits: LocalLimits;
  readonly #file: FitFile<SpecTable>;
  #events: LocalEvent[] = [];
  #slots: RelaySlots | undefined;
  #hasOpened = false;

  constructor(path: string, limits: LocalLimits) {
    this.path = path;
    this.#limits = limits;
    this.#file = new FitFile({
      path,
      shape: specShape,
      opened: (db) => {
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

  /** Never throws: what went wrong is an outcome. */
  perform(action: LocalAction, now: number): LocalReply {
    this.#events = [];
    this.#hasOpened = false;
    const outcome = this.#attempt(action, now);
    return { outcome, hasOpened: this.#hasOpened, events: this.#events };
  }

  #attempt(action: LocalAction, now: number): LocalOutcome {
    try {
      const outcome = this.#file.attempt(() => this.#do(action, now), now);
      if (action.kind !== "read") this.#file.waitForLocks(BUSY_TIMEOUT_MS);
      return outcome;
    } catch (error) {
      if (sqliteResult(error) === SQLITE.BUSY) this.#file.waitForLocks(STILL_BUSY_TIMEOUT_MS);
      return { kind: "failed", detail: `the embedded backup ${this.path}: ${inWords(error, this.path)}` };
    }
  }

  #do(action: LocalAction, now: number): LocalOutcome {
    switch (action.kind) {
      case "open":
        this.#open(now);
        return { kind: "done" };
      case "read":
        return this.#file.use().read(action);
      case "write":
        return this.#write(action, now);
      case "touch":
        return { kind: this.#file.use().touch(action.feedDigest, now) ? "done" : "none" };
      case "remove":
        this.#file.use().remove(action.feedDigest);
        return { kind: "done" };
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
    if (bytes > maxBytes) throw new Error(`a version of ${bytes} bytes is more than the ${maxBytes} allowed`);
    const { outcome, replacedDamage, evicted } = this.#file.use().write(action, now);
    if (replacedDamage) {
      const detail = `a version in the embedded backup ${this.path} was damaged: a good one took its place`;
      this.#events.push({ kind: "local_damage_replaced", detail });
    }
    this.#reportEvicted(evicted);
    return outcome;
  }

  #reportEvicted(versions: number): void {
    if (versions === 0) return;
    const { maxKeys, maxBytes } = this.#limits;
    const bounds = `${maxKeys} SDK keys or ${maxBytes} bytes`;
    const detail = `the embedded backup ${this.path} was at its bound of ${bounds}: the least recently used went`;
    this.#events.push({ kind: "local_evicted", versions, detail });
  }
}
