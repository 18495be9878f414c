import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { allocateCount, releaseSlot, SharedCount } from "../../src/platform/shared-count.ts";
import type { CountReport, CountTask } from "../support/common/count-worker.ts";

const SLOTS = 3;

const step = fc.record({
  kind: fc.constantFrom("add", "subtract", "die"),
  slot: fc.nat(SLOTS - 1),
  n: fc.integer({ min: 1, max: 5 }),
});

test("for every order of steps: adds exactly while there is room, and takes back what an ended thread held", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 12 }), fc.array(step, { maxLength: 60 }), (max, steps) => {
      const memory = allocateCount(SLOTS);
      const counts = Array.from({ length: SLOTS }, (_, slot) => new SharedCount(memory, slot));
      const held = new Array<number>(SLOTS).fill(0);
      const total = () => held.reduce((sum, each) => sum + each, 0);
      for (const { kind, slot, n } of steps) {
        const own = held[slot] ?? 0;
        if (kind === "add") {
          const hasRoom = total() + n <= max;
          expect(counts[slot]?.tryAdd(n, max)).toBe(hasRoom);
          if (hasRoom) held[slot] = own + n;
        } else if (kind === "subtract" && own >= n) {
          counts[slot]?.subtract(n);
          held[slot] = own - n;
        } else if (kind === "die") {
          expect(releaseSlot(memory, slot)).toBe(own);
          held[slot] = 0;
        }
        expect(counts.map(({ value }) => value)).toEqual(counts.map(total));
      }
    }),
    { numRuns: 300 },
  );
});

test("a lowered limit admits nothing until the count is below it", () => {
  const count = new SharedCount();
  expect([count.tryAdd(1, 2), count.tryAdd(1, 2), count.tryAdd(1, 1), count.value]).toEqual([
    true,
    true,
    false,
    2,
  ]);
  count.subtract(2);
  expect([count.tryAdd(1, 1), count.value]).toEqual([true, 1]);
});

test("throws for a slot that was not allocated", () => {
  expect(() => new SharedCount(allocateCount(2), 2)).toThrow("no slot 2 (expected 0 to 1)");
});

describe("Workers that change one count at the same time", () => {
  const start = (task: CountTask) => {
    const worker = new Worker(new URL("../support/common/count-worker.ts", import.meta.url));
    const reports = {
      started: Promise.withResolvers<CountReport>(),
      done: Promise.withResolvers<CountReport>(),
    };
    worker.onmessage = ({ data }: MessageEvent<CountReport>) => reports[data.kind].resolve(data);
    worker.postMessage(task);
    return {
      started: reports.started.promise,
      done: reports.done.promise,
      [Symbol.asyncDispose]: async () => {
        const closed = Promise.withResolvers<unknown>();
        worker.addEventListener("close", closed.resolve);
        worker.terminate();
        await closed.promise;
      },
    };
  };

  test.each([1, 2, SLOTS])("together they never hold more than %i, and nothing at the end", async (max) => {
    await using stack = new AsyncDisposableStack();
    const memory = allocateCount(SLOTS);
    const task = { memory, max, witness: new SharedArrayBuffer(4), kept: 0, rounds: 100_000 };
    const workers = Array.from({ length: SLOTS }, (_, slot) => stack.use(start({ ...task, slot })));
    for (const report of await Promise.all(workers.map(({ done }) => done))) {
      if (report.kind !== "done") throw new Error("no report");
      expect(report.highest).toBeLessThanOrEqual(max);
      // With room for everyone, none is refused.
      if (max === SLOTS) expect(report.refused).toBe(0);
    }
    expect([...new Int32Array(memory)]).toEqual([0, 0, 0, 0]);
  });

  /** Terminates a Worker that keeps 7 and adds `rounds` times, beside this thread's 4. Returns the count afterwards. */
  const countAfterTermination = async (rounds: number): Promise<number> => {
    const memory = allocateCount(SLOTS);
    const mine = new SharedCount(memory, 0);
    mine.tryAdd(4, 100);
    {
      await using worker = start({
        ...{ memory, slot: 1, max: 100, witness: new SharedArrayBuffer(4), kept: 7, rounds },
      });
      await worker.started;
      expect(mine.value).toBeGreaterThanOrEqual(11);
    }
    releaseSlot(memory, 1);
    return mine.value;
  };

  test("what a terminated one held is taken back, and what others hold stays", async () => {
    expect(await countAfterTermination(0)).toBe(4);
  });

  test("one that is terminated while it counts leaves the count right, or too high by its last change", async () => {
    expect([4, 5]).toContain(await countAfterTermination(Number.POSITIVE_INFINITY));
  });
});
