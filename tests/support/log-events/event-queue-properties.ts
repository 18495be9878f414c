import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import type { ClaimLimits } from "../../../src/log-events/queue.ts";
import { ANYTHING, eventBatch, eventGroup, type TakenTexts, type TextQueue } from "./event-batches.ts";
import { QueueModel } from "./event-queue-model.ts";

type Opened = () => Promise<{ readonly queue: TextQueue; readonly now: number }>;

type Step =
  | { readonly kind: "put"; readonly group: number; readonly events: number; readonly afterMs: number }
  | { readonly kind: "take"; readonly maxEvents: number; readonly maxBytes: number; readonly agoMs: number }
  | { readonly kind: "release" | "drop"; readonly which: number }
  /** `part` of what is taken; 1 is all of it, without a count. */
  | { readonly kind: "remove"; readonly which: number; readonly part: number };

const groupsAt = ["a", "b", "c"].map((name) => eventGroup(name));
const which = fc.nat(groupsAt.length - 1);
const part = fc.oneof(fc.constant(1), fc.double({ min: 0, max: 0.99, noNaN: true }));

const put: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant("put"),
  group: which,
  events: fc.integer({ min: 1, max: 5 }),
  afterMs: fc.nat(3),
});
const take: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant("take"),
  maxEvents: fc.integer({ min: 1, max: 8 }),
  maxBytes: fc.integer({ min: 50, max: 400 }),
  agoMs: fc.nat(4),
});
const release: fc.Arbitrary<Step> = fc.record({ kind: fc.constant("release"), which });
const drop: fc.Arbitrary<Step> = fc.record({ kind: fc.constant("drop"), which });
const remove: fc.Arbitrary<Step> = fc.record({ kind: fc.constant("remove"), which, part });
const steps = fc.array(fc.oneof(put, put, take, take, release, drop, remove, remove), { maxLength: 60 });

/** A queue and a model of it, doing the same. */
class Comparison {
  readonly #queue: TextQueue;
  readonly #model = new QueueModel();
  readonly #inHand: TakenTexts[] = [];
  #ms: number;
  #events = 0;

  constructor(queue: TextQueue, now: number) {
    this.#queue = queue;
    this.#ms = now;
  }

  async perform(step: Step): Promise<void> {
    await this.#do(step);
    expect(this.#queue.depth).toEqual(this.#model.depth);
    const since = this.#model.waitingSince;
    const nextDueAt = this.#queue.nextDueAt(1_000);
    // In the millisecond after it, at the latest.
    if (since === undefined) expect(nextDueAt).toBeUndefined();
    else expect([1_000, 1_001]).toContain((nextDueAt ?? 0) - since);
  }

  async #do(step: Step): Promise<void> {
    switch (step.kind) {
      case "put": {
        this.#ms += step.afterMs;
        const labels = Array.from({ length: step.events }, () => `${this.#events++}`);
        const batch = eventBatch(groupsAt[step.group] ?? eventGroup("d"), labels, this.#ms);
        this.#model.put(batch);
        expect(await this.#queue.put(batch)).toBe("queued");
        return;
      }
      case "take":
        await this.#take({ ...step, dueBefore: this.#ms - step.agoMs + 0.5 });
        return;
      case "release": {
        const [taken] = this.#inHand.splice(step.which, 1);
        if (taken === undefined) return;
        this.#model.release(taken);
        await this.#queue.nack(taken);
        return;
      }
      case "drop": {
        const [taken] = this.#inHand.splice(step.which, 1);
        if (taken !== undefined) expect(await this.#queue.drop(taken)).toBe(this.#model.drop(taken));
        return;
      }
      case "remove":
        await this.#remove(step.which, step.part);
    }
  }

  async #take(limits: ClaimLimits): Promise<boolean> {
    const taken = await this.#queue.claim(limits);
    this.#model.taken(taken, limits);
    if (taken !== undefined) this.#inHand.push(taken);
    return taken !== undefined;
  }

  async #remove(which: number, part: number): Promise<void> {
    const taken = this.#inHand[which];
    if (taken === undefined) return;
    if (part === 1) this.#inHand.splice(which, 1);
    const count = Math.floor(taken.events.length * part);
    this.#model.remove(taken, count);
    await this.#queue.ack(taken, ...(part === 1 ? [] : [count]));
  }

  /** Takes and removes whatever is left. */
  async drain(): Promise<void> {
    do {
      while (this.#inHand.length > 0) await this.#remove(0, 1);
    } while (await this.#take(ANYTHING));
    expect(this.#model.depth.batches).toBe(0);
    expect(this.#queue.depth).toEqual(this.#model.depth);
  }
}

/** The rules that hold for every order of happenings. */
export function describeQueueProperties(open: Opened): void {
  test("whatever is put, taken, released and removed: every event once, in order, by the limits", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        const { queue, now } = await open();
        await using _ = queue;
        const comparison = new Comparison(queue, now);
        for (const step of steps) await comparison.perform(step);
        await comparison.drain();
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  test("many who put and take at once: every event once, in order within its group", async () => {
    const { queue, now } = await open();
    await using _ = queue;
    const delivered = new Map(groupsAt.map(({ metadata }) => [metadata, [] as string[]]));
    const labels = Array.from({ length: 100 }, (_, at) => `${at}`);
    let putting = true;
    const puts = groupsAt.map(async (group) => {
      for (let at = 0; at < labels.length; at += 5) {
        // Their order is that of the calls, though nobody waits in between.
        const five = labels.slice(at, at + 5).map((label) => queue.put(eventBatch(group, [label], now)));
        expect(await Promise.all(five)).toEqual(five.map(() => "queued"));
      }
    });
    const takers = [1, 2, 3, 4].map(async (taker) => {
      for (let round = 0; putting || queue.depth.batches > 0; round++) {
        const taken = await queue.claim({ ...ANYTHING, maxEvents: 7 });
        await sleep(taker % 2);
        if (taken === undefined) continue;
        if ((round + taker) % 3 === 0) {
          await queue.nack(taken);
          continue;
        }
        delivered.get(taken.group.metadata)?.push(...taken.events);
        await queue.ack(taken);
      }
    });
    await Promise.all(puts);
    putting = false;
    await Promise.all(takers);
    for (const group of groupsAt) {
      expect(delivered.get(group.metadata)).toEqual([...eventBatch(group, labels, now).events]);
    }
  }, 30_000);
}
