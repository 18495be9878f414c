import { expect, test } from "bun:test";
import fc from "fast-check";
import { SharedBudget } from "../../src/platform/shared-budget.ts";
import { allocateCount, releaseSlot, SharedCount } from "../../src/platform/shared-count.ts";

const step = fc.record({
  kind: fc.constantFrom("take", "give back", "replace"),
  thread: fc.nat(3),
  n: fc.integer({ min: 1, max: 9 }),
});

const ownPart = (max: number, threads: number) => Math.floor(max / 2 / threads);

test("for every order of steps: threads never exceed the limit together, and each has its own part", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 1, max: 4 }),
      fc.array(step),
      (max, threads, steps) => {
        const memory = allocateCount(threads);
        const makeBudget = (slot: number) =>
          new SharedBudget({ max, threads, common: new SharedCount(memory, slot) });
        const budgets = Array.from({ length: threads }, (_, slot) => makeBudget(slot));
        const used = budgets.map(() => 0);
        for (const { kind, thread, n } of steps) {
          const at = thread % threads;
          const own = used[at] ?? 0;
          if (kind === "take") {
            const isTaken = budgets[at]?.tryTake(n);
            if (own + n <= ownPart(max, threads)) expect(isTaken).toBe(true);
            // A thread alone is refused only above the limit.
            if (threads === 1) expect(isTaken).toBe(own + n <= max);
            if (isTaken) used[at] = own + n;
          } else if (kind === "give back" && own >= n) {
            budgets[at]?.giveBack(n);
            used[at] = own - n;
          } else if (kind === "replace") {
            releaseSlot(memory, at);
            budgets[at] = makeBudget(at);
            used[at] = 0;
          }
          expect(used.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(max);
        }
        for (const [at, budget] of budgets.entries()) budget.giveBack(used[at] ?? 0);
        expect(new SharedCount(memory).value).toBe(0);
      },
    ),
    { numRuns: 500 },
  );
});

test("one thread may take its own part and all of the common half", () => {
  const memory = allocateCount(4);
  const [first, second] = [0, 1].map(
    (slot) => new SharedBudget({ max: 80, threads: 4, common: new SharedCount(memory, slot) }),
  );
  expect([first?.tryTake(50), first?.tryTake(1)]).toEqual([true, false]);
  expect([second?.tryTake(10), second?.tryTake(1)]).toEqual([true, false]);
  first?.giveBack(5);
  expect([second?.tryTake(5), second?.tryTake(1)]).toEqual([true, false]);
});
