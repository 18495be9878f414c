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

/** What the relay relies on, of every queue of events. `open` opens an empty one each time that it is called. */
export function describeEventQueue(name: string, open: OpenQueue): void {
  const opened = async () => {
    const clock = new FakeClock();
    return { clock, queue: withTexts(await open({ clock, maxBytes: ROOMY_BYTES })), now: clock.now() };
  };
  const [a, b] = [eventGroup("a"), eventGroup("b")];

  describe(`${name} keeps the contract of an event queue`, () => {
    test("nothing waits in an empty one", async () => {
      const { queue } = await opened();
      await using _ = queue;
      expect(await queue.claim(ANYTHING)).toBeUndefined();
      expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
      expect(queue.nextDueAt(1_000)).toBeUndefined();
    });

    test("batches of a group come out merged, in order, byte for byte", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      const first = eventBatch(a, ["1", "2"], now);
      // Another object that says the same, its headers in another order.
      const same = {
        ...eventGroup("a"),
        headers: Object.fromEntries(Object.entries(a.headers).reverse()),
      };
      const second = eventBatch(same, ["3"], now + 5);
      expect(await queue.put(first)).toBe("queued");
      expect(await queue.put(second)).toBe("queued");
      const bytes = first.bytes + second.bytes;
      expect(queue.depth).toEqual({ batches: 2, events: 3, bytes });
      const taken = await queue.claim(ANYTHING);
      expect(taken).toMatchObject({
        group: a,
        events: ["1", "2", "3"].map(eventText),
        bytes,
        queuedAt: now,
      });
      expect(queue.depth).toEqual({ batches: 2, events: 3, bytes });
      if (taken !== undefined) await queue.ack(taken);
      expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
    });

    test("what differs in key, metadata or headers is not merged", async () => {
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

    test("a take stops before the limit of events, or of bytes; one batch may be larger", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      const batches = [["1", "2"], ["3", "4"], ["5"], ["6", "7", "8", "9"], ["10"]];
      for (const labels of batches) await queue.put(eventBatch(a, labels, now));
      const next = async (limits: object) => {
        const taken = await queue.claim({ ...ANYTHING, ...limits });
        if (taken !== undefined) await queue.ack(taken);
        return taken?.events.length;
      };
      expect(await next({ maxEvents: 4 })).toBe(4);
      expect(await next({ maxBytes: bytesOf([eventText("5")]) })).toBe(1);
      expect(await next({ maxEvents: 2, maxBytes: 10 })).toBe(4);
      expect(await next({ maxEvents: 1 })).toBe(1);
      expect(await next({})).toBeUndefined();
    });

    test("a group is due once its oldest batch waited, or once it fills the limits", async () => {
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
      // What is taken does not wait.
      expect(queue.nextDueAt(1_000)).toBeUndefined();
    });

    test("the limit of bytes alone makes a group due, too", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      const batch = eventBatch(a, ["1", "2"], now);
      await queue.put(batch);
      const notYet = { ...ANYTHING, dueBefore: now - 1 };
      expect(await queue.claim({ ...notYet, maxBytes: batch.bytes + 1 })).toBeUndefined();
      expect(await queue.claim({ ...notYet, maxBytes: batch.bytes })).toMatchObject({ group: a });
    });

    test("a group has one taker, and what is released comes before what was put later", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      await queue.put(eventBatch(a, ["1"], now));
      const [taken, none] = await Promise.all([queue.claim(ANYTHING), queue.claim(ANYTHING)]);
      expect(none).toBeUndefined();
      await queue.put(eventBatch(b, ["2"], now + 1));
      await queue.put(eventBatch(a, ["3"], now + 2));
      expect(await queue.claim(ANYTHING)).toMatchObject({ group: b });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
      if (taken !== undefined) await queue.nack(taken);
      expect(queue.depth.events).toBe(3);
      expect(queue.nextDueAt(0)).toBeLessThanOrEqual(now + 1);
      expect(await queue.claim(ANYTHING)).toMatchObject({
        group: a,
        events: [eventText("1"), eventText("3")],
        queuedAt: now,
      });
    });

    test("of what is taken the first events can be removed, the rest stays taken", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      await queue.put(eventBatch(a, ["1", "2", "3"], now));
      await queue.put(eventBatch(a, ["4", "5"], now + 1));
      const taken = await queue.claim(ANYTHING);
      if (taken === undefined) throw new Error("nothing was taken");
      await queue.ack(taken, 0);
      await queue.ack(taken, 2);
      expect(queue.depth).toEqual({
        batches: 2,
        events: 3,
        bytes: bytesOf(["3", "4", "5"].map(eventText)),
      });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
      // Counted from the first that was taken, whatever is gone of them.
      await queue.ack(taken, 3);
      expect(queue.depth).toEqual({ batches: 1, events: 2, bytes: bytesOf(["4", "5"].map(eventText)) });
      await queue.ack(taken, 4);
      await queue.nack(taken);
      const again = await queue.claim(ANYTHING);
      expect(again).toMatchObject({ events: [eventText("5")], bytes: bytesOf([eventText("5")]) });
      if (again !== undefined) await queue.ack(again, 1);
      expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
      await queue.put(eventBatch(a, ["6"], now + 2));
      expect(await queue.claim(ANYTHING)).toMatchObject({ events: [eventText("6")] });
    });

    test("a group can be dropped: what was taken of it and what waits, but no other's", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      await queue.put(eventBatch(a, ["1", "2", "3"], now));
      await queue.put(eventBatch(a, ["4"], now + 1));
      const taken = await queue.claim({ ...ANYTHING, maxEvents: 3 });
      if (taken === undefined) throw new Error("nothing was taken");
      await queue.put(eventBatch(b, ["5"], now + 2));
      await queue.put(eventBatch(a, ["6", "7"], now + 3));
      await queue.ack(taken, 1);
      expect(await queue.drop(taken)).toBe(5);
      expect(queue.depth).toEqual({ batches: 1, events: 1, bytes: bytesOf([eventText("5")]) });
      // It is over: nothing comes back of it.
      await queue.nack(taken);
      expect(await queue.drop(taken)).toBe(0);
      expect(await queue.claim(ANYTHING)).toMatchObject({ group: b });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
      await queue.put(eventBatch(a, ["8"], now + 4));
      expect(await queue.claim(ANYTHING)).toMatchObject({ group: a, events: [eventText("8")] });
    });

    test("a batch of more events than one request carries is kept whole, and comes out piece by piece", async () => {
      const { queue, now } = await opened();
      await using _ = queue;
      const labels = Array.from({ length: 2_500 }, (_, at) => `${at}`);
      expect(await queue.put(eventBatch(a, labels, now))).toBe("queued");
      expect(queue.depth).toMatchObject({ batches: 3, events: 2_500 });
      const events: string[] = [];
      const sizes: number[] = [];
      for (let taken = await queue.claim(ANYTHING); taken; taken = await queue.claim(ANYTHING)) {
        sizes.push(taken.events.length);
        events.push(...taken.events);
        await queue.ack(taken);
      }
      expect(sizes).toEqual([1_000, 1_000, 500]);
      expect(events).toEqual(labels.map(eventText));
    });

    test("none of a batch is kept if there is no room for all of it", async () => {
      const clock = new FakeClock();
      await using queue = withTexts(await open({ clock, maxBytes: 1_500_000 }));
      const event = largeEvent(700_000);
      expect(await queue.put(batchOf(b, [event, event, event], clock.now()))).toBe("full");
      expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
    });

    test("a batch for which there is no room is not kept", async () => {
      const clock = new FakeClock();
      await using queue = withTexts(await open({ clock, maxBytes: 20_000 }));
      const small = eventBatch(a, ["1"], clock.now());
      expect(await queue.put(small)).toBe("queued");
      expect(await queue.put(batchOf(b, [largeEvent(30_000)], clock.now()))).toBe("full");
      expect(queue.depth).toEqual({ batches: 1, events: 1, bytes: small.bytes });
      expect(await queue.claim(ANYTHING)).toMatchObject({ group: a });
      expect(await queue.claim(ANYTHING)).toBeUndefined();
    });

    test("whoever listens hears of each put", async () => {
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
