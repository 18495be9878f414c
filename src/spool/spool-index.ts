import { type ClaimLimits, type QueueDepth, type Waiting, WaitingOrder } from "../log-events/queue.ts";
import type { SpoolDrop, SpoolGroup, SpoolHead } from "./calls.ts";

interface Group {
  readonly groupId: number;
  /** Of what is not taken. */
  sums: QueueDepth;
  /** Undefined where all of it is taken. */
  head: SpoolHead | undefined;
  isTaken: boolean;
}

/** The oldest row of a group that waits. */
export interface WaitingRows extends Waiting {
  readonly groupId: number;
}

const NOTHING: QueueDepth = { batches: 0, events: 0, bytes: 0 };

/**
 * What must be known of the spool without asking it: of each group what waits, since when, and whether it is
 * taken. About 300 bytes a group, and no text.
 */
export class SpoolIndex {
  #depth = NOTHING;
  readonly #groups = new Map<number, Group>();
  /** Groups of which something waits and that are not taken. */
  readonly #waiting = new WaitingOrder<WaitingRows>();

  /** Of all, taken or not. */
  get depth(): QueueDepth {
    return this.#depth;
  }

  get waitingSince(): number | undefined {
    return this.#waiting.first?.queuedAt;
  }

  load(groups: readonly SpoolGroup[]): void {
    this.#depth = groups.reduce((sums, group) => plus(sums, group), NOTHING);
    this.#groups.clear();
    for (const { groupId, head, batches, events, bytes } of groups) {
      this.#groups.set(groupId, { groupId, head, sums: { batches, events, bytes }, isTaken: false });
    }
    this.#waiting.load(groups.map(({ groupId, head }) => ({ groupId, ...head })));
  }

  put(groupId: number, head: SpoolHead, sums: QueueDepth): void {
    this.#depth = plus(this.#depth, sums);
    const group = this.#group(groupId);
    this.#change(group, { sums: plus(group.sums, sums), head: group.head ?? head });
  }

  /** The longest waiting group that is due. Those that were put after `dueBefore` are few: they are the newest. */
  pick({ maxEvents, maxBytes, dueBefore }: ClaimLimits): WaitingRows | undefined {
    for (const waiting of this.#waiting) {
      if (waiting.queuedAt <= dueBefore) return waiting;
      const { events, bytes } = this.#group(waiting.groupId).sums;
      if (events >= maxEvents || bytes >= maxBytes) return waiting;
    }
    return undefined;
  }

  /** Nobody else can pick it. */
  reserve(groupId: number): void {
    this.#change(this.#group(groupId), { isTaken: true });
  }

  /** The oldest of the group are taken, and this is left. */
  take(groupId: number, sums: QueueDepth, next: SpoolHead | undefined): void {
    const group = this.#group(groupId);
    this.#change(group, { sums: plus(group.sums, sums, -1), head: next, isTaken: true });
  }

  /** It can be picked again; what was taken of it is back where it was. */
  giveBack(groupId: number, sums = NOTHING, head?: SpoolHead): void {
    const group = this.#group(groupId);
    this.#change(group, { sums: plus(group.sums, sums), head: head ?? group.head, isTaken: false });
  }

  /** Of what is taken. */
  remove(sums: QueueDepth): void {
    this.#depth = plus(this.#depth, sums, -1);
  }

  /** Of what waits. */
  drop({ groupId, sums, firstId, head }: Omit<SpoolDrop, "reason">): void {
    this.#depth = plus(this.#depth, sums, -1);
    const group = this.#group(groupId);
    const isHead = group.head !== undefined && group.head.id >= firstId;
    this.#change(group, { sums: plus(group.sums, sums, -1), head: isHead ? head : group.head });
  }

  /** There turned out to be nothing of it. */
  forget(groupId: number): void {
    const group = this.#group(groupId);
    this.#depth = plus(this.#depth, group.sums, -1);
    this.#change(group, { sums: NOTHING, head: undefined, isTaken: false });
  }

  #group(groupId: number): Group {
    return this.#groups.get(groupId) ?? { groupId, sums: NOTHING, head: undefined, isTaken: false };
  }

  #change(group: Group, change: Partial<Group>): void {
    const { groupId } = group;
    if (group.head !== undefined && !group.isTaken) this.#waiting.delete(group.head);
    Object.assign(group, change);
    if (group.head !== undefined || group.isTaken) this.#groups.set(groupId, group);
    else this.#groups.delete(groupId);
    if (group.head !== undefined && !group.isTaken) this.#waiting.add({ groupId, ...group.head });
  }
}

const plus = (a: QueueDepth, b: QueueDepth, times = 1): QueueDepth => ({
  batches: a.batches + times * b.batches,
  events: a.events + times * b.events,
  bytes: a.bytes + times * b.bytes,
});
