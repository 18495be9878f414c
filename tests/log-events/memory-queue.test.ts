import { expect, test } from "bun:test";
import { MemoryQueue } from "../../src/log-events/memory-queue.ts";
import { ANYTHING, eventBatch, eventGroup } from "../support/log-events/event-batches.ts";
import { describeEventQueue } from "../support/log-events/event-queue-contract.ts";

describeEventQueue("in memory", async ({ maxBytes }) => new MemoryQueue({ maxBatches: 20_000, maxBytes }));

test("no more batches than it may hold; removing makes room", async () => {
  await using queue = new MemoryQueue({ maxBatches: 2, maxBytes: 1_000_000 });
  const batch = eventBatch(eventGroup("a"), ["1"], 1);
  expect(await queue.put(batch)).toBe("queued");
  expect(queue.filled).toBe(0.5);
  expect(await queue.put(batch)).toBe("queued");
  expect(queue.filled).toBe(1);
  expect(await queue.put(batch)).toBe("full");
  const taken = await queue.claim(ANYTHING);
  expect(await queue.put(batch)).toBe("full");
  if (taken !== undefined) await queue.ack(taken, 1);
  expect(await queue.put(batch)).toBe("queued");
});

test("groups that come and go leave nothing behind", async () => {
  await using queue = new MemoryQueue({ maxBatches: 20_000, maxBytes: 10_000 });
  for (let at = 0; at < 1_000; at++) {
    expect(await queue.put(eventBatch(eventGroup(`${at}`), [`${at}`], at))).toBe("queued");
    const taken = await queue.claim(ANYTHING);
    if (taken === undefined) throw new Error("nothing was taken");
    if (at % 2 === 0) await queue.ack(taken, 1);
    else await queue.ack(taken);
  }
  expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
});
