import { hash } from "node:crypto";
import { countEvents, type EventChunk, heldBytes, splitChunk } from "./chunk.ts";
import {
  type ClaimedEvents,
  type ClaimLimits,
  type EventBatch,
  type EventGroup,
  type EventQueue,
  identifyGroup,
  type QueueDepth,
  type Waiting,
  WaitingOrder,
} from "./queue.ts";

interface MemoryQueueOptions {
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

  async claim(limits: ClaimLimits): Promise<ClaimedEvents | undefined> {
    const group = this.#longestWaiting(limits);
    if (group === undefined) return undefined;
    const token = ++this.#lastToken;
    this.#byToken.set(token, group);
    return this.#change(group, () => group.take(token, limits));
  }

  async ack({ token }: ClaimedEvents, count?: number): Promise<void> {
    const group = this.#byToken.get(token);
    if (group === undefined) return;
    if (this.#change(group, () => group.remove(count))) this.#byToken.delete(token);
  }

  async drop({ token }: ClaimedEvents): Promise<number> {
    const group = this.#byToken.get(token);
    if (group === undefined) return 0;
    this.#byToken.delete(token);
    return this.#change(group, () => group.drop());
  }

  async nack({ token }: ClaimedEvents): Promise<void> {
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
  #longestWaiting(limits: ClaimLimits): HeldGroup | undefined {
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

/** What a memory queue holds, all groups together. */
interface QueueTotals {
  batches: number;
  events: number;
  bytes: number;
  /** Memory: the chunks and what comes with them. */
  heldBytes: number;
}

/** What a group needs beside its metadata: headers, its id, objects, map entries. */
const GROUP_OVERHEAD_BYTES = 2_048;

interface StoredChunk {
  readonly chunk: EventChunk;
  readonly queuedAt: number;
}

interface Taken {
  readonly chunks: readonly StoredChunk[];
  /** Events, from the first of the chunks on. */
  removed: number;
}

/** A digest of the identity, because the metadata in it may be long and the group holds it already. */
const groupId = (group: EventGroup): string => hash("sha256", identifyGroup(group), "base64");

/** The chunks of one group in the order in which they were put; the first of them may be taken. */
class HeldGroup {
  readonly id: string;
  /** Since when the group is known: no two have the same. */
  readonly place: number;
  readonly #group: EventGroup;
  readonly #totals: QueueTotals;
  readonly #ownBytes: number;
  readonly #waiting: StoredChunk[] = [];
  #waitingEvents = 0;
  #waitingBytes = 0;
  #taken: Taken | undefined;

  constructor(id: string, place: number, group: EventGroup, totals: QueueTotals) {
    this.id = id;
    this.place = place;
    this.#group = group;
    this.#totals = totals;
    // Two bytes a character: what is not Latin-1 takes as many.
    this.#ownBytes = 2 * group.metadata.length + GROUP_OVERHEAD_BYTES;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#taken === undefined;
  }

  /** When the oldest chunk was put; undefined if the group is taken or has none. */
  get waitingSince(): number | undefined {
    return this.#taken === undefined ? this.#waiting[0]?.queuedAt : undefined;
  }

  isDue({ maxEvents, maxBytes, dueBefore }: ClaimLimits): boolean {
    const since = this.waitingSince;
    if (since === undefined) return false;
    return since < dueBefore || this.#waitingEvents >= maxEvents || this.#waitingBytes >= maxBytes;
  }

  /** Memory that the batch would need. */
  costOf({ chunks }: EventBatch): number {
    return (this.isEmpty ? this.#ownBytes : 0) + heldBytes(chunks);
  }

  put({ chunks, queuedAt }: EventBatch): void {
    if (this.isEmpty) this.#totals.heldBytes += this.#ownBytes;
    const stored = chunks.map((chunk) => ({ chunk, queuedAt }));
    this.#waiting.push(...stored);
    this.#countWaiting(stored, 1);
    this.#count(stored, 1);
  }

  take(token: number, limits: ClaimLimits): ClaimedEvents {
    const stored = this.#waiting.splice(0, this.#fitting(limits));
    this.#countWaiting(stored, -1);
    this.#taken = { chunks: stored, removed: 0 };
    const chunks = stored.map(({ chunk }) => chunk);
    return { token, group: this.#group, chunks, queuedAt: stored[0]?.queuedAt ?? 0 };
  }

  /** Whether nothing taken is left by that. */
  remove(count: number | undefined): boolean {
    const taken = this.#taken;
    if (taken === undefined) return true;
    const before = remainder(taken);
    const all = countEvents(taken.chunks.map(({ chunk }) => chunk));
    taken.removed = Math.max(taken.removed, count ?? all);
    const after = remainder(taken);
    this.#count(before, -1);
    this.#count(after, 1);
    if (after.length > 0) return false;
    this.#settle();
    return true;
  }

  /** All of it, taken or not; returns how many events that was. */
  drop(): number {
    const all = [...(this.#taken === undefined ? [] : remainder(this.#taken)), ...this.#waiting];
    this.#countWaiting(this.#waiting, -1);
    this.#waiting.length = 0;
    this.#count(all, -1);
    this.#settle();
    return countEvents(all.map(({ chunk }) => chunk));
  }

  release(): void {
    const taken = this.#taken;
    if (taken === undefined) return;
    const left = remainder(taken);
    this.#waiting.unshift(...left);
    this.#countWaiting(left, 1);
    this.#settle();
  }

  #settle(): void {
    this.#taken = undefined;
    if (this.isEmpty) this.#totals.heldBytes -= this.#ownBytes;
  }

  #fitting({ maxEvents, maxBytes }: ClaimLimits): number {
    let [events, bytes] = [0, 0];
    const over = this.#waiting.findIndex(({ chunk }) => {
      events += chunk.count;
      bytes += chunk.bytes;
      return events > maxEvents || bytes > maxBytes;
    });
    return over < 0 ? this.#waiting.length : Math.max(1, over);
  }

  #countWaiting(stored: readonly StoredChunk[], sign: 1 | -1): void {
    for (const { chunk } of stored) {
      this.#waitingEvents += sign * chunk.count;
      this.#waitingBytes += sign * chunk.bytes;
    }
  }

  #count(stored: readonly StoredChunk[], sign: 1 | -1): void {
    for (const { chunk } of stored) {
      this.#totals.batches += sign;
      this.#totals.events += sign * chunk.count;
      this.#totals.bytes += sign * chunk.bytes;
      this.#totals.heldBytes += sign * heldBytes([chunk]);
    }
  }
}

/** What is left of what was taken. */
function remainder({ chunks, removed }: Taken): StoredChunk[] {
  let start = 0;
  return chunks.flatMap((stored) => {
    const { chunk, queuedAt } = stored;
    const gone = removed - start;
    start += chunk.count;
    if (gone <= 0) return [stored];
    return gone < chunk.count ? [{ chunk: splitChunk(chunk, gone)[1], queuedAt }] : [];
  });
}
