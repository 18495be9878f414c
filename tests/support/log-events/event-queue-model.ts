import { expect } from "bun:test";
import type { ClaimLimits, QueueDepth } from "../../../src/log-events/queue.ts";
import { bytesOf, type TakenTexts, type TextBatch } from "./event-batches.ts";

interface ModelBatch {
  readonly events: readonly string[];
  readonly queuedAt: number;
}

interface ModelGroup {
  /** The oldest first, including claimed ones. */
  batches: ModelBatch[];
  /** How many of them are claimed, and how many events the claim had. */
  taken: number;
  takenEvents: number;
}

/** The simplest model of a queue. The metadata identifies a group. */
export class QueueModel {
  readonly #groups = new Map<string, ModelGroup>();

  put({ group, events, queuedAt }: TextBatch): void {
    const kept = this.#groups.get(group.metadata) ?? { batches: [], taken: 0, takenEvents: 0 };
    kept.batches.push({ events, queuedAt });
    this.#groups.set(group.metadata, kept);
  }

  /** Checks that this is the claim that was expected. */
  taken(taken: TakenTexts | undefined, limits: ClaimLimits): void {
    const due = [...this.#groups.values()].filter((group) => isDue(group, limits));
    const oldest = Math.min(...due.map(queuedAtOf));
    expect(taken?.queuedAt).toBe(due.length === 0 ? undefined : oldest);
    if (taken === undefined) return;
    const group = this.#groupOf(taken);
    expect(due.filter((one) => queuedAtOf(one) === oldest)).toContain(group);
    group.taken = fitting(group.batches, limits);
    const events = eventsOf(group.batches.slice(0, group.taken));
    expect(taken.events).toEqual(events);
    expect(taken.bytes).toBe(bytesOf(events));
    group.takenEvents = events.length;
  }

  release(taken: TakenTexts): void {
    this.#groupOf(taken).taken = 0;
  }

  /** Deletes the whole group. Returns how many events that are. */
  drop(taken: TakenTexts): number {
    const events = eventsOf(this.#groupOf(taken).batches).length;
    this.#groups.delete(taken.group.metadata);
    return events;
  }

  /** Deletes the first `count` events of the claim. */
  remove(taken: TakenTexts, count: number): void {
    const group = this.#groupOf(taken);
    let left = count - (taken.events.length - group.takenEvents);
    group.takenEvents -= Math.max(0, left);
    while (left > 0) {
      const [head, ...others] = group.batches;
      if (head === undefined) throw new Error("more was removed than there is");
      const gone = Math.min(left, head.events.length);
      left -= gone;
      if (gone === head.events.length) {
        group.batches = others;
        group.taken--;
      } else group.batches = [{ ...head, events: head.events.slice(gone) }, ...others];
    }
  }

  get depth(): QueueDepth {
    const batches = [...this.#groups.values()].flatMap((group) => group.batches);
    const events = eventsOf(batches);
    return { batches: batches.length, events: events.length, bytes: bytesOf(events) };
  }

  /** Returns when the oldest batch was put that can be claimed. */
  get waitingSince(): number | undefined {
    const waiting = [...this.#groups.values()].filter(
      ({ batches, taken }) => batches.length > 0 && taken === 0,
    );
    return waiting.length === 0 ? undefined : Math.min(...waiting.map(queuedAtOf));
  }

  #groupOf({ group }: TakenTexts): ModelGroup {
    const kept = this.#groups.get(group.metadata);
    if (kept === undefined) throw new Error(`of a group that was never put: ${group.metadata}`);
    return kept;
  }
}

function isDue({ batches, taken }: ModelGroup, { maxEvents, maxBytes, dueBefore }: ClaimLimits): boolean {
  const [head] = batches;
  if (head === undefined || taken > 0) return false;
  const events = eventsOf(batches);
  return head.queuedAt < dueBefore || events.length >= maxEvents || bytesOf(events) >= maxBytes;
}

function fitting(batches: readonly ModelBatch[], { maxEvents, maxBytes }: ClaimLimits): number {
  const fits = (count: number) => {
    const events = eventsOf(batches.slice(0, count));
    return events.length <= maxEvents && bytesOf(events) <= maxBytes;
  };
  let count = 1;
  while (count < batches.length && fits(count + 1)) count++;
  return count;
}

const queuedAtOf = ({ batches }: ModelGroup): number => batches[0]?.queuedAt ?? Number.POSITIVE_INFINITY;
const eventsOf = (batches: readonly ModelBatch[]): string[] => batches.flatMap(({ events }) => events);
