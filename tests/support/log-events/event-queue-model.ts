import { expect } from "bun:test";
import type { ClaimLimits, QueueDepth } from "../../../src/log-events/queue.ts";
import { bytesOf, type ClaimedTexts, type TextBatch } from "./event-batches.ts";

interface ModelBatch {
  readonly events: readonly string[];
  readonly queuedAt: number;
}

interface ModelGroup {
  /** The oldest first, including claimed ones. */
  batches: ModelBatch[];
  /** How many of them are claimed, and how many events the claim had. */
  claimedBatches: number;
  claimedEvents: number;
}

/** The simplest model of a queue. The metadata identifies a group. */
export class QueueModel {
  readonly #groups = new Map<string, ModelGroup>();

  put({ group, events, queuedAt }: TextBatch): void {
    const kept = this.#groups.get(group.metadata) ?? { batches: [], claimedBatches: 0, claimedEvents: 0 };
    kept.batches.push({ events, queuedAt });
    this.#groups.set(group.metadata, kept);
  }

  /** Checks that this is the claim that was expected. */
  checkClaim(claimed: ClaimedTexts | undefined, limits: ClaimLimits): void {
    const due = [...this.#groups.values()].filter((group) => isDue(group, limits));
    const oldest = Math.min(...due.map(firstQueuedAt));
    expect(claimed?.queuedAt).toBe(due.length === 0 ? undefined : oldest);
    if (claimed === undefined) return;
    const group = this.#findGroup(claimed);
    expect(due.filter((one) => firstQueuedAt(one) === oldest)).toContain(group);
    group.claimedBatches = countFitting(group.batches, limits);
    const events = eventsOf(group.batches.slice(0, group.claimedBatches));
    expect(claimed.events).toEqual(events);
    expect(claimed.bytes).toBe(bytesOf(events));
    group.claimedEvents = events.length;
  }

  nack(claimed: ClaimedTexts): void {
    this.#findGroup(claimed).claimedBatches = 0;
  }

  /** Deletes the whole group. Returns how many events that are. */
  drop(claimed: ClaimedTexts): number {
    const events = eventsOf(this.#findGroup(claimed).batches).length;
    this.#groups.delete(claimed.group.metadata);
    return events;
  }

  /** Deletes the first `count` events of the claim. */
  ack(claimed: ClaimedTexts, count: number): void {
    const group = this.#findGroup(claimed);
    let left = count - (claimed.events.length - group.claimedEvents);
    group.claimedEvents -= Math.max(0, left);
    while (left > 0) {
      const [head, ...others] = group.batches;
      if (head === undefined) throw new Error("more events were acknowledged than exist");
      const covered = Math.min(left, head.events.length);
      left -= covered;
      if (covered === head.events.length) {
        group.batches = others;
        group.claimedBatches--;
      } else group.batches = [{ ...head, events: head.events.slice(covered) }, ...others];
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
      ({ batches, claimedBatches }) => batches.length > 0 && claimedBatches === 0,
    );
    return waiting.length === 0 ? undefined : Math.min(...waiting.map(firstQueuedAt));
  }

  #findGroup({ group }: ClaimedTexts): ModelGroup {
    const kept = this.#groups.get(group.metadata);
    if (kept === undefined) throw new Error(`unknown group: ${group.metadata}`);
    return kept;
  }
}

function isDue(
  { batches, claimedBatches }: ModelGroup,
  { maxEvents, maxBytes, dueBefore }: ClaimLimits,
): boolean {
  const [head] = batches;
  if (head === undefined || claimedBatches > 0) return false;
  const events = eventsOf(batches);
  return head.queuedAt < dueBefore || events.length >= maxEvents || bytesOf(events) >= maxBytes;
}

function countFitting(batches: readonly ModelBatch[], { maxEvents, maxBytes }: ClaimLimits): number {
  const fits = (count: number) => {
    const events = eventsOf(batches.slice(0, count));
    return events.length <= maxEvents && bytesOf(events) <= maxBytes;
  };
  let count = 1;
  while (count < batches.length && fits(count + 1)) count++;
  return count;
}

const firstQueuedAt = ({ batches }: ModelGroup): number => batches[0]?.queuedAt ?? Number.POSITIVE_INFINITY;
const eventsOf = (batches: readonly ModelBatch[]): string[] => batches.flatMap(({ events }) => events);
