import { expect, test } from "bun:test";
import { MemoryQueue } from "../../src/log-events/memory-queue.ts";
import { ANYTHING, eventBatch, eventGroup } from "../support/log-events/event-batches.ts";
import { describeEventQueue } from "../support/log-events/event-queue-contract.ts";

describeEventQueue("in memory", async ({ maxBytes }) => new MemoryQueue({ maxBatches: 20_000, maxBytes }));

test("rejects batches above the limit; an ack frees room", async () => {
  await using queue = new MemoryQueue({ maxBatches: 2, maxBytes: 1_000_000 });
  const batch = eventBatch(eventGroup("a"), ["1"], 1);
  expect(await queue.put(batch)).toBe("queued");
  expect(queue.filled).toBe(0.5);
  expect(await queue.put(batch)).toBe("queued");
  expect(queue.filled).toBe(1);
  expect(await queue.put(batch)).toBe("full");
  const claimed = await queue.claim(ANYTHING);
  expect(await queue.put(batch)).toBe("full");
  if (claimed !== undefined) await queue.ack(claimed, 1);
  expect(await queue.put(batch)).toBe("queued");
});

test("frees the memory of groups that are empty", async () => {
  await using queue = new MemoryQueue({ maxBatches: 20_000, maxBytes: 10_000 });
  for (let at = 0; at < 1_000; at++) {
    expect(await queue.put(eventBatch(eventGroup(`${at}`), [`${at}`], at))).toBe("queued");
    const claimed = await queue.claim(ANYTHING);
    if (claimed === undefined) throw new Error("nothing was claimed");
    if (at % 2 === 0) await queue.ack(claimed, 1);
    else await queue.ack(claimed);
  }
  expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
});
