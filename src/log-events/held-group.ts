import { hash } from "node:crypto";
import { countEvents, type EventChunk, heldBytes, splitChunk } from "./event-chunk.ts";
import type { EventBatch, EventGroup, TakeLimits, TakenEvents } from "./event-queue.ts";

/** What a memory queue holds, all groups together. */
export interface QueueTotals {
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

/** Tells groups apart by what they say. A digest, since the metadata may be long and is held once already. */
export function groupId({ sdkKey, metadata, headers }: EventGroup): string {
  const sorted = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  return hash("sha256", JSON.stringify([sdkKey, metadata, sorted]), "base64");
}

/** The chunks of one group in the order in which they were put; the first of them may be taken. */
export class HeldGroup {
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

  isDue({ maxEvents, maxBytes, dueBefore }: TakeLimits): boolean {
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

  take(token: number, limits: TakeLimits): TakenEvents {
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

  #fitting({ maxEvents, maxBytes }: TakeLimits): number {
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
