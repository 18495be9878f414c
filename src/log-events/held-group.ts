import type { EventBatch, EventGroup, TakeLimits, TakenEvents } from "./event-queue.ts";
import { joinEvents, splitEvents } from "./joined-events.ts";

/** What a memory queue holds, all groups together. */
export interface QueueTotals {
  batches: number;
  events: number;
  bytes: number;
  /** Memory: the events and what comes with them. */
  heldBytes: number;
}

/** What a batch and a group need beside their texts: objects, array slots, map entries. */
const BATCH_OVERHEAD_BYTES = 256;
const GROUP_OVERHEAD_BYTES = 1_024;

/** Bytes and not strings: a part of a string would keep the whole request's text in memory. */
interface StoredBatch {
  readonly joined: Buffer;
  readonly count: number;
  readonly bytes: number;
  readonly queuedAt: number;
}

interface Taken {
  readonly batches: readonly StoredBatch[];
  readonly events: readonly string[];
  /** Of `events`, from the first on. */
  removed: number;
}

/** Tells groups apart by what they say. */
export function groupId({ sdkKey, metadata, headers }: EventGroup): string {
  return JSON.stringify([sdkKey, metadata, Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

/** The batches of one group in the order in which they were put; the first of them may be taken. */
export class HeldGroup {
  readonly id: string;
  readonly #group: EventGroup;
  readonly #totals: QueueTotals;
  readonly #ownBytes: number;
  readonly #waiting: StoredBatch[] = [];
  #waitingEvents = 0;
  #waitingBytes = 0;
  #taken: Taken | undefined;

  constructor(id: string, group: EventGroup, totals: QueueTotals) {
    this.id = id;
    this.#group = group;
    this.#totals = totals;
    this.#ownBytes = 2 * id.length + GROUP_OVERHEAD_BYTES;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#taken === undefined;
  }

  /** When the oldest batch was put; undefined where the group is taken, or has none. */
  get waitingSince(): number | undefined {
    return this.#taken === undefined ? this.#waiting[0]?.queuedAt : undefined;
  }

  isDue({ maxEvents, maxBytes, dueBefore }: TakeLimits): boolean {
    const since = this.waitingSince;
    if (since === undefined) return false;
    return since < dueBefore || this.#waitingEvents >= maxEvents || this.#waitingBytes >= maxBytes;
  }

  /** Memory that the batch would need. */
  costOf(batch: EventBatch): number {
    const own = this.isEmpty ? this.#ownBytes : 0;
    return own + heldBytesOf({ bytes: batch.bytes, count: batch.events.length });
  }

  put({ events, bytes, queuedAt }: EventBatch): void {
    if (this.isEmpty) this.#totals.heldBytes += this.#ownBytes;
    const batch = { joined: joinEvents(events), count: events.length, bytes, queuedAt };
    this.#waiting.push(batch);
    this.#nowWaiting([batch], 1);
    this.#count([batch], 1);
  }

  take(token: number, limits: TakeLimits): TakenEvents {
    const batches = this.#waiting.splice(0, this.#fitting(limits));
    this.#nowWaiting(batches, -1);
    const events = batches.flatMap(({ joined, count }) => splitEvents(joined, count));
    this.#taken = { batches, events, removed: 0 };
    const bytes = batches.reduce((sum, batch) => sum + batch.bytes, 0);
    return { token, group: this.#group, events, bytes, queuedAt: batches[0]?.queuedAt ?? 0 };
  }

  /** Whether nothing taken is left by that. */
  remove(count: number | undefined): boolean {
    const taken = this.#taken;
    if (taken === undefined) return true;
    const before = remainder(taken);
    taken.removed = Math.max(taken.removed, count ?? taken.events.length);
    const after = remainder(taken);
    this.#count(before, -1);
    this.#count(after, 1);
    if (after.length > 0) return false;
    this.#settle();
    return true;
  }

  release(): void {
    const taken = this.#taken;
    if (taken === undefined) return;
    const left = remainder(taken);
    this.#waiting.unshift(...left);
    this.#nowWaiting(left, 1);
    this.#settle();
  }

  #settle(): void {
    this.#taken = undefined;
    if (this.isEmpty) this.#totals.heldBytes -= this.#ownBytes;
  }

  #fitting({ maxEvents, maxBytes }: TakeLimits): number {
    let [events, bytes] = [0, 0];
    const over = this.#waiting.findIndex((batch) => {
      events += batch.count;
      bytes += batch.bytes;
      return events > maxEvents || bytes > maxBytes;
    });
    return over < 0 ? this.#waiting.length : Math.max(1, over);
  }

  #nowWaiting(batches: readonly StoredBatch[], sign: 1 | -1): void {
    for (const { count, bytes } of batches) {
      this.#waitingEvents += sign * count;
      this.#waitingBytes += sign * bytes;
    }
  }

  #count(batches: readonly StoredBatch[], sign: 1 | -1): void {
    for (const batch of batches) {
      this.#totals.batches += sign;
      this.#totals.events += sign * batch.count;
      this.#totals.bytes += sign * batch.bytes;
      this.#totals.heldBytes += sign * heldBytesOf(batch);
    }
  }
}

function heldBytesOf({ bytes, count }: Pick<StoredBatch, "bytes" | "count">): number {
  return bytes + count + BATCH_OVERHEAD_BYTES;
}

/** What is left of what was taken. */
function remainder({ batches, events, removed }: Taken): StoredBatch[] {
  let start = 0;
  return batches.flatMap((batch) => {
    const from = Math.max(start, removed);
    start += batch.count;
    if (from >= start) return [];
    if (from === start - batch.count) return [batch];
    const joined = joinEvents(events.slice(from, start));
    const count = start - from;
    return [{ joined, count, bytes: joined.length - (count - 1), queuedAt: batch.queuedAt }];
  });
}
