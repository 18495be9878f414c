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
  /** Limits the memory of the events, including what the queue needs to keep track of them. */
  readonly maxBytes: number;
}

interface WaitingGroup extends Waiting {
  readonly group: HeldGroup;
}

/** Holds events in memory. They are lost when the process ends. */
export class MemoryQueue implements EventQueue {
  readonly #options: MemoryQueueOptions;
  readonly #groups = new Map<string, HeldGroup>();
  readonly #byToken = new Map<number, HeldGroup>();
  /** The groups that can be claimed. */
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
    const id = toGroupId(batch.group);
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
    return this.#change(group, () => group.claim(token, limits));
  }

  async ack({ token }: ClaimedEvents, count?: number): Promise<void> {
    const group = this.#byToken.get(token);
    if (group === undefined) return;
    if (this.#change(group, () => group.ack(count))) this.#byToken.delete(token);
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
    this.#change(group, () => group.nack());
  }

  nextDueAt(maxWaitMs: number): number | undefined {
    const since = this.#order.first?.queuedAt;
    // A group is due only after its time, not exactly at it.
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

  /** Applies a change to a group, then updates the order and the map. */
  #change<T>(group: HeldGroup, change: () => T): T {
    const before = toWaiting(group);
    const result = change();
    const after = toWaiting(group);
    if (before?.queuedAt !== after?.queuedAt) {
      if (before !== undefined) this.#order.delete(before);
      if (after !== undefined) this.#order.add(after);
    }
    if (group.isEmpty) this.#groups.delete(group.id);
    else this.#groups.set(group.id, group);
    return result;
  }

  /** The loop is short: all groups but the newest are due by their time. */
  #longestWaiting(limits: ClaimLimits): HeldGroup | undefined {
    for (const { group } of this.#order) if (group.isDue(limits)) return group;
    return undefined;
  }

  #hasRoomFor(group: HeldGroup, batch: EventBatch): boolean {
    const { batches, heldBytes } = this.#totals;
    const { maxBatches, maxBytes } = this.#options;
    // A batch of several chunks may exceed maxBatches: with a small maximum it would never be accepted.
    return batches < maxBatches && heldBytes + group.cost(batch) <= maxBytes;
  }
}

/** Returns undefined if the group cannot be claimed. */
function toWaiting(group: HeldGroup): WaitingGroup | undefined {
  const { waitingSince, place } = group;
  return waitingSince === undefined ? undefined : { queuedAt: waitingSince, id: place, group };
}

/** The totals of all groups. */
interface QueueTotals {
  batches: number;
  events: number;
  bytes: number;
  /** Memory of the groups and their chunks. */
  heldBytes: number;
}

/** Memory that a group takes in addition to its metadata: headers, its id, objects, map entries. */
const GROUP_OVERHEAD_BYTES = 2_048;

interface StoredChunk {
  readonly chunk: EventChunk;
  readonly queuedAt: number;
}

interface Claim {
  readonly chunks: readonly StoredChunk[];
  /** How many events were acknowledged, counted from the first. */
  acknowledged: number;
}

/** A digest of the identity, because the metadata in it may be long and the group holds it already. */
const toGroupId = (group: EventGroup): string => hash("sha256", identifyGroup(group), "base64");

/** The chunks of one group in the order in which they were put. The first of them may be claimed. */
class HeldGroup {
  readonly id: string;
  /** A serial number: it breaks ties in the order of groups. */
  readonly place: number;
  readonly #group: EventGroup;
  readonly #totals: QueueTotals;
  readonly #ownBytes: number;
  readonly #waiting: StoredChunk[] = [];
  #waitingEvents = 0;
  #waitingBytes = 0;
  #claim: Claim | undefined;

  constructor(id: string, place: number, group: EventGroup, totals: QueueTotals) {
    this.id = id;
    this.place = place;
    this.#group = group;
    this.#totals = totals;
    // Two bytes per character: strings that are not Latin-1 take as many.
    this.#ownBytes = 2 * group.metadata.length + GROUP_OVERHEAD_BYTES;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#claim === undefined;
  }

  /** When the oldest chunk was put. Undefined if the group has a claim or no chunk waits. */
  get waitingSince(): number | undefined {
    return this.#claim === undefined ? this.#waiting[0]?.queuedAt : undefined;
  }

  isDue({ maxEvents, maxBytes, dueBefore }: ClaimLimits): boolean {
    const since = this.waitingSince;
    if (since === undefined) return false;
    return since < dueBefore || this.#waitingEvents >= maxEvents || this.#waitingBytes >= maxBytes;
  }

  /** Returns the bytes of memory that the batch would add. */
  cost({ chunks }: EventBatch): number {
    return (this.isEmpty ? this.#ownBytes : 0) + heldBytes(chunks);
  }

  put({ chunks, queuedAt }: EventBatch): void {
    if (this.isEmpty) this.#totals.heldBytes += this.#ownBytes;
    const stored = chunks.map((chunk) => ({ chunk, queuedAt }));
    this.#waiting.push(...stored);
    this.#countWaiting(stored, 1);
    this.#count(stored, 1);
  }

  claim(token: number, limits: ClaimLimits): ClaimedEvents {
    const stored = this.#waiting.splice(0, this.#fitting(limits));
    this.#countWaiting(stored, -1);
    this.#claim = { chunks: stored, acknowledged: 0 };
    const chunks = stored.map(({ chunk }) => chunk);
    return { token, group: this.#group, chunks, queuedAt: stored[0]?.queuedAt ?? 0 };
  }

  /** Acknowledges the first `count` claimed events, or all. Returns true if the claim is settled. */
  ack(count: number | undefined): boolean {
    const claim = this.#claim;
    if (claim === undefined) return true;
    const before = unacknowledged(claim);
    const all = countEvents(claim.chunks.map(({ chunk }) => chunk));
    claim.acknowledged = Math.max(claim.acknowledged, count ?? all);
    const after = unacknowledged(claim);
    this.#count(before, -1);
    this.#count(after, 1);
    if (after.length > 0) return false;
    this.#settle();
    return true;
  }

  /** Deletes every event, claimed or not. Returns how many. */
  drop(): number {
    const all = [...(this.#claim === undefined ? [] : unacknowledged(this.#claim)), ...this.#waiting];
    this.#countWaiting(this.#waiting, -1);
    this.#waiting.length = 0;
    this.#count(all, -1);
    this.#settle();
    return countEvents(all.map(({ chunk }) => chunk));
  }

  nack(): void {
    const claim = this.#claim;
    if (claim === undefined) return;
    const left = unacknowledged(claim);
    this.#waiting.unshift(...left);
    this.#countWaiting(left, 1);
    this.#settle();
  }

  #settle(): void {
    this.#claim = undefined;
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

/** Returns the claimed events that are not acknowledged. */
function unacknowledged({ chunks, acknowledged }: Claim): StoredChunk[] {
  let start = 0;
  return chunks.flatMap((stored) => {
    const { chunk, queuedAt } = stored;
    const covered = acknowledged - start;
    start += chunk.count;
    if (covered <= 0) return [stored];
    return covered < chunk.count ? [{ chunk: splitChunk(chunk, covered)[1], queuedAt }] : [];
  });
}
