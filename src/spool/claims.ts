import type { ClaimedEvents, ClaimLimits, QueueDepth } from "../log-events/queue.ts";
import { rowsFrom, type SpoolHead, type SpoolReply, type SpoolRows } from "./calls.ts";
import { type SpoolClient, SpoolError } from "./client.ts";
import type { SpoolIndex, WaitingRows } from "./spool-index.ts";

interface Take {
  readonly rows: SpoolRows;
  /** The first of them that is left. */
  readonly head: SpoolHead;
  /** What is left of them. */
  readonly sums: QueueDepth;
  readonly removedEvents: number;
}

/** What is taken. Only this process knows of it: in the file it is like all the rest. */
export class SpoolClaims {
  readonly #index: SpoolIndex;
  readonly #takes = new Map<number, Take>();
  /** By group, what is removed but still in the file, since the disk is too full even to delete. */
  readonly #gone = new Map<number, SpoolRows>();
  /** Groups that are asked for just now. */
  readonly #asked = new Set<number>();
  #lastToken = 0;

  constructor(index: SpoolIndex) {
    this.#index = index;
  }

  /** What is taken, is about to be, or is gone. */
  get rows(): SpoolRows[] {
    const asked = [...this.#asked].map((groupId) => rowsFrom(groupId, 0));
    return [...[...this.#takes.values()].map(({ rows }) => rows), ...asked, ...this.#gone.values()];
  }

  /** All of it waits again, but for what is asked for just now. */
  forget(): void {
    this.#takes.clear();
    this.#gone.clear();
    for (const groupId of this.#asked) this.#index.reserve(groupId);
  }

  /** Undefined where there turned out to be nothing of the group. */
  async take(
    waiting: WaitingRows,
    limits: ClaimLimits,
    link: SpoolClient,
  ): Promise<ClaimedEvents | undefined> {
    const { groupId, id: fromId } = waiting;
    const { maxEvents, maxBytes } = limits;
    this.#asked.add(groupId);
    this.#index.reserve(groupId);
    try {
      const take = { kind: "take", groupId, fromId, maxEvents, maxBytes } as const;
      return await link.call(take, (reply) => this.#taken(groupId, reply));
    } catch (error) {
      this.#asked.delete(groupId);
      this.#index.giveBack(groupId);
      throw error;
    }
  }

  #taken(groupId: number, { outcome, dropped }: SpoolReply): ClaimedEvents | undefined {
    const taken = outcome.kind === "taken" ? outcome.taken : undefined;
    this.#asked.delete(groupId);
    if (taken === undefined) {
      if (dropped.length > 0) this.#index.giveBack(groupId);
      else this.#index.forget(groupId);
      return undefined;
    }
    const { rows, group, chunks, sums, queuedAt, next } = taken;
    const token = ++this.#lastToken;
    this.#index.take(groupId, sums, next);
    this.#takes.set(token, { rows, head: { id: rows.firstId, queuedAt }, sums, removedEvents: 0 });
    return { token, group, chunks, queuedAt };
  }

  release({ token }: ClaimedEvents): void {
    const take = this.#takes.get(token);
    if (take === undefined) return;
    this.#takes.delete(token);
    this.#index.giveBack(take.rows.groupId, take.sums, take.head);
  }

  async remove({ token }: ClaimedEvents, count: number | undefined, link: SpoolClient): Promise<void> {
    const take = this.#takes.get(token);
    if (take === undefined) return;
    const more = count === undefined ? take.sums.events : count - take.removedEvents;
    if (more <= 0) return;
    const isAll = more >= take.sums.events;
    try {
      const { rows } = take;
      const remove = { kind: "remove", rows, events: isAll ? undefined : more } as const;
      const isLate = await link.call(remove, (reply) => !this.#removed(token, take, reply));
      // The index was loaded meanwhile, and says that they wait.
      if (isLate) await link.reload();
    } catch (error) {
      if (!isAll || !(error instanceof SpoolError && error.kind === "full")) throw error;
      await this.#goesLater(token, take, link);
    }
    await this.removeGone(link);
  }

  /** What was taken, and what waits of its group; returns how many events that was. */
  async drop(taken: ClaimedEvents, link: SpoolClient): Promise<number> {
    const take = this.#takes.get(taken.token);
    if (take === undefined) return 0;
    const { groupId, firstId } = take.rows;
    const all = { kind: "remove", rows: rowsFrom(groupId, firstId), events: undefined } as const;
    try {
      const { events, isLate } = await link.call(all, (reply) => this.#dropped(taken.token, take, reply));
      if (isLate) await link.reload();
      return events;
    } catch (error) {
      if (!(error instanceof SpoolError && error.kind === "full")) throw error;
      await this.remove(taken, undefined, link);
      return take.sums.events;
    }
  }

  #dropped(token: number, take: Take, { outcome }: SpoolReply) {
    if (outcome.kind !== "removed") return { events: 0, isLate: false };
    const { sums: gone } = outcome;
    const { groupId, firstId } = take.rows;
    // The index was loaded meanwhile, and says that they wait.
    if (this.#takes.get(token) !== take) return { events: gone.events, isLate: true };
    this.#takes.delete(token);
    this.#index.remove(take.sums);
    this.#index.drop({ groupId, sums: minus(gone, take.sums), firstId, head: undefined });
    this.#index.giveBack(groupId);
    return { events: gone.events, isLate: false };
  }

  /** Else whatever a full disk held would be sent over and over. */
  async #goesLater(token: number, take: Take, link: SpoolClient): Promise<void> {
    if (!this.#takes.delete(token)) return;
    const { groupId, firstId, lastId } = take.rows;
    this.#gone.set(groupId, { groupId, firstId: this.#gone.get(groupId)?.firstId ?? firstId, lastId });
    this.#index.remove(take.sums);
    this.#index.giveBack(groupId);
    if (this.#index.depth.batches === 0)
      await link.call({ kind: "renew", gone: [...this.#gone.values()] }, () => {});
  }

  /** Tries to delete what is gone. */
  async removeGone(link: SpoolClient): Promise<void> {
    for (const rows of this.#gone.values()) {
      try {
        await link.call({ kind: "remove", rows, events: undefined }, () => {
          if (this.#gone.get(rows.groupId) === rows) this.#gone.delete(rows.groupId);
        });
      } catch {
        // Reported; tried again with the next that is put or removed.
        return;
      }
    }
  }

  /** Whether it was known of. */
  #removed(token: number, take: Take, { outcome }: SpoolReply): boolean {
    if (outcome.kind !== "removed" || this.#takes.get(token) !== take) return false;
    const { sums: gone, first } = outcome;
    this.#index.remove(gone);
    if (first === undefined) {
      this.#takes.delete(token);
      this.#index.giveBack(take.rows.groupId);
      return true;
    }
    const sums = minus(take.sums, gone);
    this.#takes.set(token, {
      rows: { ...take.rows, firstId: first.id },
      head: first,
      sums,
      removedEvents: take.removedEvents + gone.events,
    });
    return true;
  }
}

const minus = (a: QueueDepth, b: QueueDepth): QueueDepth => ({
  batches: a.batches - b.batches,
  events: a.events - b.events,
  bytes: a.bytes - b.bytes,
});
