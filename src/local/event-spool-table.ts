import type { DatabaseSync } from "node:sqlite";
import type { EventBatch } from "../log-events/event-queue.ts";
import { transact } from "./database.ts";
import type { SpoolDrop, SpoolGroup, SpoolLimits, SpoolPlace, SpoolRows } from "./event-spool-calls.ts";
import { dropOldest } from "./event-spool-drops.ts";
import { SpoolGroups } from "./event-spool-groups.ts";
import { removeEvents, type SpoolRemoved } from "./event-spool-remove.ts";
import { SpoolRowTable, sizeOf } from "./event-spool-rows.ts";
import { type SpoolTake, type SpoolTakeResult, takeRows } from "./event-spool-take.ts";
import { Statements } from "./statements.ts";

export interface SpoolPut {
  readonly places: readonly SpoolPlace[];
  readonly dropped: readonly SpoolDrop[];
}

/** What is done with the tables of the spool: every method is one transaction. */
export class SpoolTable {
  readonly #db: DatabaseSync;
  readonly #limits: SpoolLimits;
  readonly #groups: SpoolGroups;
  readonly #rows: SpoolRowTable;

  constructor(db: DatabaseSync, limits: SpoolLimits) {
    const statements = new Statements(db);
    this.#db = db;
    this.#limits = limits;
    this.#groups = new SpoolGroups(statements);
    this.#rows = new SpoolRowTable(statements);
  }

  get storedBytes(): number {
    return this.#rows.kept.size;
  }

  groups(): SpoolGroup[] {
    return this.#rows.groups();
  }

  /** The oldest of what is there makes room. */
  put(batches: readonly EventBatch[], taken: readonly SpoolRows[]): SpoolPut {
    return this.#transact(() => {
      const places = batches.map((batch) => this.#insert(batch));
      const newestId = Math.max(...places.map((place) => place?.id ?? 0));
      const { maxBytes, maxBatches } = this.#limits;
      const dropped = dropOldest(this.#rows, this.#groups, "size", taken, ({ id }) => {
        const { size, batches } = this.#rows.kept;
        return id < newestId && (size > maxBytes || batches > maxBatches);
      });
      return { places, dropped };
    });
  }

  /** Gives up what was put before `deadline`. */
  expire(deadline: number, taken: readonly SpoolRows[]): SpoolDrop[] {
    return this.#transact(() =>
      dropOldest(this.#rows, this.#groups, "age", taken, ({ queuedAt }) => queuedAt < deadline),
    );
  }

  take(take: SpoolTake): SpoolTakeResult {
    return this.#transact(() => takeRows(this.#rows, this.#groups, take));
  }

  remove(rows: SpoolRows, count: number | undefined): SpoolRemoved {
    return this.#transact(() => removeEvents(this.#rows, this.#groups, rows, count));
  }

  holdsNothingBut(gone: readonly SpoolRows[]): boolean {
    const batches = gone.reduce((sum, rows) => sum + this.#rows.sums(rows).batches, 0);
    return this.#rows.kept.batches === batches;
  }

  /** An empty file need not keep the room that it once had. */
  shrink(): void {
    if (this.#rows.kept.batches === 0) this.#db.exec("VACUUM");
  }

  /** All of its chunks, or none. */
  #insert({ group, chunks, queuedAt }: EventBatch): SpoolPlace {
    const size = chunks.reduce((sum, { body }) => sum + sizeOf(body), 0);
    if (size > this.#limits.maxBytes) return undefined;
    const groupId = this.#groups.idOf(group);
    const [first] = chunks.map((chunk) => this.#rows.insert(groupId, chunk, queuedAt));
    return first && { groupId, id: first.id };
  }

  #transact<T>(work: () => T): T {
    try {
      return transact(this.#db, work);
    } catch (error) {
      this.#rows.forgetKept();
      throw error;
    }
  }
}
