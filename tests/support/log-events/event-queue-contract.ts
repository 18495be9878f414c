import { describe, expect, test } from "bun:test";
import type { EventQueue } from "../../../src/log-events/queue.ts";
import type { Clock } from "../../../src/platform/clock.ts";
import { FakeClock } from "../common/fake-clock.ts";
import {
  ANYTHING,
  batchOf,
  bytesOf,
  eventBatch,
  eventGroup,
  eventText,
  largeEvent,
  withTexts,
} from "./event-batches.ts";
import { describeQueueProperties } from "./event-queue-properties.ts";

export interface QueueUnderTest {
  readonly clock: Clock;
  readonly maxBytes: number;
}

export type OpenQueue = (options: QueueUnderTest) => Promise<EventQueue>;

const ROOMY_BYTES = 64 * 1024 * 1024;

/** Tests what the relay requires of every event queue. `open` opens a new, empty one. */
export function describeEventQueue(name: string, open: OpenQueue): void {
  const opened = async () => {
    const clock = new FakeClock();
    return { clock, queue: withTexts(await open({ clock, maxBytes: ROOMY_BYTES })), now: clock.now() };
  };
  const [a, b] = [eventGroup("a"), eventGroup("b")];

  describe(`${name} keeps the contract of an event queue`, () => {
    test("claims nothing from an empty queue", async () => {
      const { queue } = await opened();
      await using _ = queue;
      expect(await queue.claim(ANYTHING)).toBeUndefined();
      expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
      expect(queue.nextDueAt(1_000)).toBeUndefined();
    });

    test("merges the batches of a group, in order, byte for byte", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      const first = eventBatch(a, ["1", "2"], now);
      // An equal group in another object, with its headers in another order.
      const same = {
        ...eventGroup("a"),
        headers: Object.fromEntries(Object.entries(a.headers).reverse()),
      };
      const second = eventBatch(same, ["3"], now + 5);
      expect(await queue.put(first)).toBe("queued");
      expect(await queue.put(second)).toBe("queued");
      const bytes = first.bytes + second.bytes;
      expect(queue.depth).toEqual({ batches: 2, events: 3, bytes });
      const claimed = await queue.claim(ANYTHING);
      expect(claimed).toMatchObject({
        group: a,
        events: ["1", "2", "3"].map(eventText),
        bytes,
        queuedAt: now,
      });
      expect(queue.depth).toEqual({ batches: 2, events: 3, bytes });
      if (claimed !== undefined) await queue.ack(claimed);
      expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
    });

    test("does not merge batches that differ in key, metadata or headers", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      const groups = [
        a,
        { ...a, sdkKey: b.sdkKey },
        { ...a, metadata: "" },
        { ...a, headers: {} },
        { ...a, headers: { ...a.headers, "statsig-sdk-type": "other" } },
      ];
      for (const [at, group] of groups.entries()) await queue.put(eventBatch(group, [`${at}`], now + at));
      for (const [at, group] of groups.entries()) {
        expect(await queue.claim(ANYTHING)).toMatchObject({ group, events: [eventText(`${at}`)] });
      }
    });

    test("limits a claim by events and bytes, unless a single batch is larger", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      const batches = [["1", "2"], ["3", "4"], ["5"], ["6", "7", "8", "9"], ["10"]];
      for (const labels of batches) await queue.put(eventBatch(a, labels, now));
      const next = async (limits: object) => {
        const claimed = await queue.claim({ ...ANYTHING, ...limits });
        if (claimed !== undefined) await queue.ack(claimed);
        return claimed?.events.length;
      };
      expect(await next({ maxEvents: 4 })).toBe(4);
      expect(await next({ maxBytes: bytesOf([eventText("5")]) })).toBe(1);
      expect(await next({ maxEvents: 2, maxBytes: 10 })).toBe(4);
      expect(await next({ maxEvents: 1 })).toBe(1);
      expect(await next({})).toBeUndefined();
    });

    test("makes a group due when its oldest batch has waited, or when it fills the limits", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      await queue.put(eventBatch(a, ["1"], now));
      await queue.put(eventBatch(b, ["2", "3"], now + 10));
      expect(queue.nextDueAt(1_000)).toBeGreaterThanOrEqual(now + 1_000);
      const notYet = { ...ANYTHING, dueBefore: now - 1 };
      expect(await queue.claim(notYet)).toBeUndefined();
      expect(await queue.claim({ ...notYet, maxEvents: 2 })).toMatchObject({ group: b });
      const dueBefore = (queue.nextDueAt(1_000) ?? 0) - 1_000;
      expect(dueBefore).toBeLessThanOrEqual(now + 1);
      expect(await queue.claim({ ...ANYTHING, dueBefore })).toMatchObject({ group: a });
      // Claimed events do not wait.
      expect(queue.nextDueAt(1_000)).toBeUndefined();
    });

    test("makes a group due by the limit of bytes alone", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      const batch = eventBatch(a, ["1", "2"], now);
      await queue.put(batch);
      const notYet = { ...ANYTHING, dueBefore: now - 1 };
      expect(await queue.claim({ ...notYet, maxBytes: batch.bytes + 1 })).toBeUndefined();
      expect(await queue.claim({ ...notYet, maxBytes: batch.bytes })).toMatchObject({ group: a });
    });

    test("allows one claim per group, and returns events of a nack before newer ones", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      await queue.put(eventBatch(a, ["1"], now));
      const [claimed, none] = await Promise.all([queue.claim(ANYTHING), queue.claim(ANYTHING)]);
      expect(none).toBeUndefined();
      await queue.put(eventBatch(b, ["2"], now + 1));
      await queue.put(eventBatch(a, ["3"], now + 2));
      expect(await queue.claim(ANYTHING)).toMatchObject({ group: b });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
      if (claimed !== undefined) await queue.nack(claimed);
      expect(queue.depth.events).toBe(3);
      expect(queue.nextDueAt(0)).toBeLessThanOrEqual(now + 1);
      expect(await queue.claim(ANYTHING)).toMatchObject({
        group: a,
        events: [eventText("1"), eventText("3")],
        queuedAt: now,
      });
    });

    test("acknowledges the first events of a claim, and keeps the rest claimed", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      await queue.put(eventBatch(a, ["1", "2", "3"], now));
      await queue.put(eventBatch(a, ["4", "5"], now + 1));
      const claimed = await queue.claim(ANYTHING);
      if (claimed === undefined) throw new Error("nothing was claimed");
      await queue.ack(claimed, 0);
      await queue.ack(claimed, 2);
      expect(queue.depth).toEqual({
        batches: 2,
        events: 3,
        bytes: bytesOf(["3", "4", "5"].map(eventText)),
      });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
      // Counted from the start of the claim, including acknowledged events.
      await queue.ack(claimed, 3);
      expect(queue.depth).toEqual({ batches: 1, events: 2, bytes: bytesOf(["4", "5"].map(eventText)) });
      await queue.ack(claimed, 4);
      await queue.nack(claimed);
      const again = await queue.claim(ANYTHING);
      expect(again).toMatchObject({ events: [eventText("5")], bytes: bytesOf([eventText("5")]) });
      if (again !== undefined) await queue.ack(again, 1);
      expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
      await queue.put(eventBatch(a, ["6"], now + 2));
      expect(await queue.claim(ANYTHING)).toMatchObject({ events: [eventText("6")] });
    });

    test("drops a whole group, claimed or not, and no other group", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      await queue.put(eventBatch(a, ["1", "2", "3"], now));
      await queue.put(eventBatch(a, ["4"], now + 1));
      const claimed = await queue.claim({ ...ANYTHING, maxEvents: 3 });
      if (claimed === undefined) throw new Error("nothing was claimed");
      await queue.put(eventBatch(b, ["5"], now + 2));
      await queue.put(eventBatch(a, ["6", "7"], now + 3));
      await queue.ack(claimed, 1);
      expect(await queue.drop(claimed)).toBe(5);
      expect(queue.depth).toEqual({ batches: 1, events: 1, bytes: bytesOf([eventText("5")]) });
      // The claim has ended: a nack returns nothing.
      await queue.nack(claimed);
      expect(await queue.drop(claimed)).toBe(0);
      expect(await queue.claim(ANYTHING)).toMatchObject({ group: b });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
      await queue.put(eventBatch(a, ["8"], now + 4));
      expect(await queue.claim(ANYTHING)).toMatchObject({ group: a, events: [eventText("8")] });
    });

    test("stores a batch that is larger than a request as a whole, and yields it in chunks", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      const labels = Array.from({ length: 2_500 }, (_, at) => `${at}`);
      expect(await queue.put(eventBatch(a, labels, now))).toBe("queued");
      expect(queue.depth).toMatchObject({ batches: 3, events: 2_500 });
      const events: string[] = [];
      const sizes: number[] = [];
      for (let claimed = await queue.claim(ANYTHING); claimed; claimed = await queue.claim(ANYTHING)) {
        sizes.push(claimed.events.length);
        events.push(...claimed.events);
        await queue.ack(claimed);
      }
      expect(sizes).toEqual([1_000, 1_000, 500]);
      expect(events).toEqual(labels.map(eventText));
    });

    test("stores nothing of a batch that does not fit as a whole", async () => {
      const clock = new FakeClock();
      await using queue = withTexts(await open({ clock, maxBytes: 1_500_000 }));
      const event = largeEvent(700_000);
      expect(await queue.put(batchOf(b, [event, event, event], clock.now()))).toBe("full");
      expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
    });

    test("rejects a batch when it is full", async () => {
      const clock = new FakeClock();
      await using queue = withTexts(await open({ clock, maxBytes: 20_000 }));
      const small = eventBatch(a, ["1"], clock.now());
      expect(await queue.put(small)).toBe("queued");
      expect(await queue.put(batchOf(b, [largeEvent(30_000)], clock.now()))).toBe("full");
      expect(queue.depth).toEqual({ batches: 1, events: 1, bytes: small.bytes });
      expect(await queue.claim(ANYTHING)).toMatchObject({ group: a });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
    });

    test("calls listeners for each put", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      let heard = 0;
      queue.onPut(() => heard++);
      await Promise.all(["1", "2", "3"].map((label) => queue.put(eventBatch(a, [label], now))));
      expect(heard).toBe(3);
    });

    describeQueueProperties(opened);
  });
}
