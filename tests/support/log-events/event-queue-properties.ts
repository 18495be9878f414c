import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import type { ClaimLimits } from "../../../src/log-events/queue.ts";
import { ANYTHING, type ClaimedTexts, eventBatch, eventGroup, type TextQueue } from "./event-batches.ts";
import { QueueModel } from "./event-queue-model.ts";

type Opened = () => Promise<{ readonly queue: TextQueue; readonly now: number }>;

type Step =
  | { readonly kind: "put"; readonly group: number; readonly events: number; readonly afterMs: number }
  | { readonly kind: "claim"; readonly maxEvents: number; readonly maxBytes: number; readonly agoMs: number }
  | { readonly kind: "nack" | "drop"; readonly which: number }
  /** The part of the claim to acknowledge; 1 means all of it, without a count. */
  | { readonly kind: "ack"; readonly which: number; readonly part: number };

const groupsAt = ["a", "b", "c"].map((name) => eventGroup(name));
const which = fc.nat(groupsAt.length - 1);
const part = fc.oneof(fc.constant(1), fc.double({ min: 0, max: 0.99, noNaN: true }));

const put: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant("put"),
  group: which,
  events: fc.integer({ min: 1, max: 5 }),
  afterMs: fc.nat(3),
});
const claim: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant("claim"),
  maxEvents: fc.integer({ min: 1, max: 8 }),
  maxBytes: fc.integer({ min: 50, max: 400 }),
  agoMs: fc.nat(4),
});
const nack: fc.Arbitrary<Step> = fc.record({ kind: fc.constant("nack"), which });
const drop: fc.Arbitrary<Step> = fc.record({ kind: fc.constant("drop"), which });
const ack: fc.Arbitrary<Step> = fc.record({ kind: fc.constant("ack"), which, part });
const steps = fc.array(fc.oneof(put, put, claim, claim, nack, drop, ack, ack), { maxLength: 60 });

/** Performs the same steps on a queue and on a model of it, and compares them. */
class Comparison {
  readonly #queue: TextQueue;
  readonly #model = new QueueModel();
  readonly #claims: ClaimedTexts[] = [];
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
    // At the latest in the following millisecond.
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
      case "claim":
        await this.#claim({ ...step, dueBefore: this.#ms - step.agoMs + 0.5 });
        return;
      case "nack": {
        const [claimed] = this.#claims.splice(step.which, 1);
        if (claimed === undefined) return;
        this.#model.nack(claimed);
        await this.#queue.nack(claimed);
        return;
      }
      case "drop": {
        const [claimed] = this.#claims.splice(step.which, 1);
        if (claimed !== undefined) expect(await this.#queue.drop(claimed)).toBe(this.#model.drop(claimed));
        return;
      }
      case "ack":
        await this.#ack(step.which, step.part);
    }
  }

  async #claim(limits: ClaimLimits): Promise<boolean> {
    const claimed = await this.#queue.claim(limits);
    this.#model.checkClaim(claimed, limits);
    if (claimed !== undefined) this.#claims.push(claimed);
    return claimed !== undefined;
  }

  async #ack(which: number, part: number): Promise<void> {
    const claimed = this.#claims[which];
    if (claimed === undefined) return;
    if (part === 1) this.#claims.splice(which, 1);
    const count = Math.floor(claimed.events.length * part);
    this.#model.ack(claimed, count);
    await this.#queue.ack(claimed, ...(part === 1 ? [] : [count]));
  }

  /** Claims and acknowledges everything that is left. */
  async drain(): Promise<void> {
    do {
      while (this.#claims.length > 0) await this.#ack(0, 1);
    } while (await this.#claim(ANYTHING));
    expect(this.#model.depth.batches).toBe(0);
    expect(this.#queue.depth).toEqual(this.#model.depth);
  }
}

/** Tests the rules that hold for every order of operations. */
export function describeQueueProperties(open: Opened): void {
  test("any sequence of put, claim, nack and ack yields every event once, in order, within the limits", async () => {
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

  test("concurrent puts and claims yield every event once, in order within its group", async () => {
    const { queue, now } = await open();
    await using _ = queue;
    const delivered = new Map(groupsAt.map(({ metadata }) => [metadata, [] as string[]]));
    const labels = Array.from({ length: 100 }, (_, at) => `${at}`);
    let putting = true;
    const puts = groupsAt.map(async (group) => {
      for (let at = 0; at < labels.length; at += 5) {
        // Their order is that of the calls, although no call waits for the one before.
        const five = labels.slice(at, at + 5).map((label) => queue.put(eventBatch(group, [label], now)));
        expect(await Promise.all(five)).toEqual(five.map(() => "queued"));
      }
    });
    const consumers = [1, 2, 3, 4].map(async (consumer) => {
      for (let round = 0; putting || queue.depth.batches > 0; round++) {
        const claimed = await queue.claim({ ...ANYTHING, maxEvents: 7 });
        await sleep(consumer % 2);
        if (claimed === undefined) continue;
        if ((round + consumer) % 3 === 0) {
          await queue.nack(claimed);
          continue;
        }
        delivered.get(claimed.group.metadata)?.push(...claimed.events);
        await queue.ack(claimed);
      }
    });
    await Promise.all(puts);
    putting = false;
    await Promise.all(consumers);
    for (const group of groupsAt) {
      expect(delivered.get(group.metadata)).toEqual([...eventBatch(group, labels, now).events]);
    }
  }, 30_000);
}
