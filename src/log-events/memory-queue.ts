import type { EventBatch, EventQueue, QueueDepth, TakeLimits, TakenEvents } from "./event-queue.ts";
import { groupId, HeldGroup, type QueueTotals } from "./held-group.ts";

export interface MemoryQueueOptions {
  readonly maxBatches: number;
  /** Of memory, what the queue itself needs for a batch included. */
  readonly maxBytes: number;
}

/** Keeps events in memory: fast, and lost with the process. */
export class MemoryQueue implements EventQueue {
  readonly #options: MemoryQueueOptions;
  readonly #groups = new Map<string, HeldGroup>();
  readonly #byToken = new Map<number, HeldGroup>();
  readonly #listeners: (() => void)[] = [];
  readonly #totals: QueueTotals = { batches: 0, events: 0, bytes: 0, heldBytes: 0 };
  #lastToken = 0;

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
    const group = this.#groups.get(id) ?? new HeldGroup(id, batch.group, this.#totals);
    if (!this.#hasRoomFor(group, batch)) return "full";
    this.#groups.set(id, group);
    group.put(batch);
    for (const listener of this.#listeners) listener();
    return "queued";
  }

  async take(limits: TakeLimits): Promise<TakenEvents | undefined> {
    const group = this.#longestWaiting((each) => each.isDue(limits));
    if (group === undefined) return undefined;
    const token = ++this.#lastToken;
    this.#byToken.set(token, group);
    return group.take(token, limits);
  }

  async remove({ token }: TakenEvents, count?: number): Promise<void> {
    const group = this.#byToken.get(token);
    if (group?.remove(count)) this.#finished(token, group);
  }

  async release({ token }: TakenEvents): Promise<void> {
    const group = this.#byToken.get(token);
    if (group === undefined) return;
    group.release();
    this.#finished(token, group);
  }

  nextDueAt(maxWaitMs: number): number | undefined {
    const since = this.#longestWaiting(() => true)?.waitingSince;
    // A group is due when its time is over, not when it is up.
    return since === undefined ? undefined : since + maxWaitMs + 1;
  }

  onPut(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#groups.clear();
    this.#byToken.clear();
  }

  #finished(token: number, group: HeldGroup): void {
    this.#byToken.delete(token);
    if (group.isEmpty) this.#groups.delete(group.id);
  }

  #longestWaiting(eligible: (group: HeldGroup) => boolean): HeldGroup | undefined {
    let longest: HeldGroup | undefined;
    for (const group of this.#groups.values()) {
      const since = group.waitingSince;
      if (since === undefined || since >= (longest?.waitingSince ?? Number.POSITIVE_INFINITY)) continue;
      if (eligible(group)) longest = group;
    }
    return longest;
  }

  #hasRoomFor(group: HeldGroup, batch: EventBatch): boolean {
    const { batches, heldBytes } = this.#totals;
    return batches < this.#options.maxBatches && heldBytes + group.costOf(batch) <= this.#options.maxBytes;
  }
}
