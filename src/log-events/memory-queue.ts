import type { EventBatch, EventQueue, QueueDepth, TakeLimits, TakenEvents } from "./event-queue.ts";
import { groupId, HeldGroup, type QueueTotals } from "./held-group.ts";
import { type Waiting, WaitingOrder } from "./waiting-order.ts";

export interface MemoryQueueOptions {
  readonly maxBatches: number;
  /** Of memory, what the queue itself needs for a batch included. */
  readonly maxBytes: number;
}

interface WaitingGroup extends Waiting {
  readonly group: HeldGroup;
}

/** Keeps events in memory: fast, and lost with the process. */
export class MemoryQueue implements EventQueue {
  readonly #options: MemoryQueueOptions;
  readonly #groups = new Map<string, HeldGroup>();
  readonly #byToken = new Map<number, HeldGroup>();
  /** The groups that can be taken. */
  readonly #order = new WaitingOrder<WaitingGroup>();
  readonly #listeners: (() => void)[] = [];
  readonly #totals: QueueTotals = { batches: 0, events: 0, bytes: 0, heldBytes: 0 };
  #lastToken = 0;
  #lastPlace = 0;

  constructor(options: MemoryQueueOptions) {
    this.#options = options;
  }

  get depth(): QueueDepth {
    const { batches, events, bytes } = this.#totals;
    return { batches, events, bytes };
  }

  get filled(): number {
    const { batches, heldBytes } = this.#totals;
    return Math.max(batches / this.#options.maxBatches, heldBytes / this.#options.maxBytes);
  }

  async put(batch: EventBatch): Promise<"queued" | "full"> {
    const id = groupId(batch.group);
    const group = this.#groups.get(id) ?? new HeldGroup(id, ++this.#lastPlace, batch.group, this.#totals);
    if (!this.#hasRoomFor(group, batch)) return "full";
    this.#change(group, () => group.put(batch));
    for (const listener of this.#listeners) listener();
    return "queued";
  }

  async take(limits: TakeLimits): Promise<TakenEvents | undefined> {
    const group = this.#longestWaiting(limits);
    if (group === undefined) return undefined;
    const token = ++this.#lastToken;
    this.#byToken.set(token, group);
    return this.#change(group, () => group.take(token, limits));
  }

  async remove({ token }: TakenEvents, count?: number): Promise<void> {
    const group = this.#byToken.get(token);
    if (group === undefined) return;
    if (this.#change(group, () => group.remove(count))) this.#byToken.delete(token);
  }

  async drop({ token }: TakenEvents): Promise<number> {
    const group = this.#byToken.get(token);
    if (group === undefined) return 0;
    this.#byToken.delete(token);
    return this.#change(group, () => group.drop());
  }

  async release({ token }: TakenEvents): Promise<void> {
    const group = this.#byToken.get(token);
    if (group === undefined) return;
    this.#byToken.delete(token);
    this.#change(group, () => group.release());
  }

  nextDueAt(maxWaitMs: number): number | undefined {
    const since = this.#order.first?.queuedAt;
    // A group is due when its time is over, not when it is up.
    return since === undefined ? undefined : since + maxWaitMs + 1;
  }

  onPut(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#groups.clear();
    this.#byToken.clear();
    this.#order.load([]);
  }

  /** Sees to it that the order and the map say what the group is after the change. */
  #change<T>(group: HeldGroup, change: () => T): T {
    const before = placeOf(group);
    const result = change();
    const after = placeOf(group);
    if (before?.queuedAt !== after?.queuedAt) {
      if (before !== undefined) this.#order.delete(before);
      if (after !== undefined) this.#order.add(after);
    }
    if (group.isEmpty) this.#groups.delete(group.id);
    else this.#groups.set(group.id, group);
    return result;
  }

  /** Those that are not due by their time are few: they are the newest. */
  #longestWaiting(limits: TakeLimits): HeldGroup | undefined {
    for (const { group } of this.#order) if (group.isDue(limits)) return group;
    return undefined;
  }

  #hasRoomFor(group: HeldGroup, batch: EventBatch): boolean {
    const { batches, heldBytes } = this.#totals;
    const { maxBatches, maxBytes } = this.#options;
    // A batch of several chunks may go beyond it: with a small maximum it would never find room.
    return batches < maxBatches && heldBytes + group.costOf(batch) <= maxBytes;
  }
}

/** Undefined if the group can't be taken. */
function placeOf(group: HeldGroup): WaitingGroup | undefined {
  const { waitingSince, place } = group;
  return waitingSince === undefined ? undefined : { queuedAt: waitingSince, id: place, group };
}
