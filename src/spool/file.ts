import { join } from "node:path";
import { SQLITE, sqliteResult } from "../sqlite/database.ts";
import { describeSqliteError } from "../sqlite/errors.ts";
import { ManagedDatabase } from "../sqlite/managed-database.ts";
import type { SpoolAction, SpoolDrop, SpoolGroup, SpoolLimits, SpoolOutcome, SpoolReply } from "./calls.ts";
import type { SpoolEvent } from "./events.ts";
import { spoolSchema } from "./rows.ts";
import { SpoolTable } from "./tables.ts";

const FILE_NAME = "events.sqlite";

/** The spool's database file, used by the Worker. */
export class SpoolFile {
  readonly path: string;
  readonly #limits: SpoolLimits;
  readonly #file: ManagedDatabase<SpoolTable>;
  #opened: readonly SpoolGroup[] | undefined;
  #dropped: readonly SpoolDrop[] = [];
  #events: SpoolEvent[] = [];
  #storedBytes = 0;

  constructor(limits: SpoolLimits) {
    this.path = join(limits.folder, FILE_NAME);
    this.#limits = limits;
    this.#file = new ManagedDatabase({
      path: this.path,
      schema: spoolSchema,
      onOpened: (db) => {
        const table = new SpoolTable(db, limits);
        this.#opened = table.groups();
        return table;
      },
      onSetAside: (setAsideAs, detail) =>
        this.#events.push({ kind: "spool_corrupt_set_aside", setAsideAs, detail }),
    });
  }

  /** Never throws: a failure is an outcome. */
  perform(action: SpoolAction, now: number): SpoolReply {
    this.#opened = undefined;
    this.#dropped = [];
    this.#events = [];
    const outcome = this.#attempt(action, now);
    const storedBytes = this.#storedBytes;
    return { outcome, storedBytes, opened: this.#opened, dropped: this.#dropped, events: this.#events };
  }

  #attempt(action: SpoolAction, now: number): SpoolOutcome {
    try {
      return this.#file.withRecovery(() => {
        const outcome = this.#perform(action, now);
        this.#storedBytes = this.#file.tables?.storedBytes ?? 0;
        return outcome;
      }, now);
    } catch (error) {
      const isFull = sqliteResult(error) === SQLITE.FULL || isNoSpace(error);
      const detail = `the event spool ${this.path}: ${describeSqliteError(error, this.path)}`;
      return { kind: isFull ? "full" : "failed", detail };
    }
  }

  #perform(action: SpoolAction, now: number): SpoolOutcome {
    switch (action.kind) {
      case "open":
        this.#opened = this.#file.use().groups();
        return { kind: "done" };
      case "put": {
        const { places, dropped } = this.#file.use().put(action.batches, action.claimed);
        this.#dropped = dropped;
        return { kind: "put", places };
      }
      case "expire":
        this.#dropped = this.#file.use().expire(now - this.#limits.maxAgeMs, action.claimed);
        return { kind: "done" };
      case "claim": {
        const { claimed, dropped } = this.#file.use().claim(action);
        this.#dropped = dropped;
        return { kind: "claimed", claimed };
      }
      case "delete":
        return { kind: "deleted", ...this.#file.use().delete(action.rows, action.events) };
      case "recreate":
        if (this.#file.use().holdsNothingBut(action.undeleted)) this.#file.recreate();
        return { kind: "done" };
      case "close":
        return this.#close();
    }
  }

  #close(): SpoolOutcome {
    try {
      this.#file.tables?.shrink();
    } finally {
      this.#file.close();
    }
    return { kind: "done" };
  }
}

const isNoSpace = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
