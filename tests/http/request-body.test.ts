import { expect, test } from "bun:test";
import { BodyBudget } from "../../src/http/request-body.ts";
import { SharedBudget } from "../../src/platform/shared-budget.ts";
import { allocateCount, SharedCount } from "../../src/platform/shared-count.ts";

/** The budgets of `threads` threads for `maxBytes` and `maxArriving` together. */
function budgetsOf(threads: number, maxBytes: number, maxArriving: number): BodyBudget[] {
  const [bytes, arriving] = [allocateCount(threads), allocateCount(threads)];
  const share = (memory: SharedArrayBuffer, slot: number, max: number) =>
    new SharedBudget({ max, threads, common: new SharedCount(memory, slot) });
  return Array.from(
    { length: threads },
    (_, slot) =>
      new BodyBudget({ bytes: share(bytes, slot, maxBytes), arriving: share(arriving, slot, maxArriving) }),
  );
}

/** Opens bodies, and records which were evicted. */
function openIn(budget: BodyBudget | undefined) {
  if (budget === undefined) throw new Error("no such thread");
  const evicted: string[] = [];
  return { evicted, open: (name: string) => budget.open(() => evicted.push(name)) };
}

test("one thread: the oldest arriving bodies make room, a complete one does not", () => {
  const { evicted, open } = openIn(budgetsOf(1, 100, 10)[0]);
  const complete = open("complete");
  expect(complete.reserve(40)).toBe(true);
  complete.complete();
  for (const name of ["first", "second"]) expect(open(name).reserve(30)).toBe(true);
  const last = open("last");
  expect([last.reserve(60), evicted]).toEqual([true, ["first", "second"]]);
  expect([last.reserve(1), evicted]).toEqual([false, ["first", "second"]]);
  complete[Symbol.dispose]();
  expect(last.reserve(40)).toBe(true);
});

test("one thread: above the limit of arriving bodies the oldest is evicted, and cannot reserve any more", () => {
  const { evicted, open } = openIn(budgetsOf(1, 100, 4)[0]);
  const [first] = ["1", "2", "3", "4", "5"].map(open);
  expect([evicted, first?.reserve(1)]).toEqual([["1"], false]);
});

test("a body that is evicted, complete and disposed of is counted out once", () => {
  const { evicted, open } = openIn(budgetsOf(1, 100, 2)[0]);
  const first = open("first");
  expect(first.reserve(60)).toBe(true);
  expect(open("second").reserve(60)).toBe(true);
  first.complete();
  first[Symbol.dispose]();
  const third = open("third");
  expect([third.reserve(40), evicted]).toEqual([true, ["first"]]);
  open("fourth");
  expect(evicted).toEqual(["first", "second"]);
});

test("bodies that use up all of the common half at one thread do not displace those of another", () => {
  const [attacked, other] = budgetsOf(2, 80, 80).map(openIn);
  for (let number = 0; number < 100; number++) attacked?.open(String(number)).reserve(1);
  // A quarter of the limit is left to the other thread: 60 of 80 are at this one.
  expect(attacked?.evicted).toEqual(Array.from({ length: 40 }, (_, number) => String(number)));
  const body = other?.open("other");
  expect([body?.reserve(20), body?.reserve(1), other?.evicted]).toEqual([true, false, []]);
});
