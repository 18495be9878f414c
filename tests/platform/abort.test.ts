import { expect, test } from "bun:test";
import { abortAfter } from "../../src/platform/abort.ts";
import { FakeClock } from "../support/common/fake-clock.ts";

test("abortAfter aborts with the reason when the time is over, not before", async () => {
  const clock = new FakeClock();
  const work = new AbortController();
  const late = new Error("late");
  abortAfter(work, 1_000, clock, late);
  await clock.advance(999);
  expect(work.signal.aborted).toBe(false);
  await clock.advance(1);
  expect(work.signal.reason).toBe(late);
});

test("abortAfter has no effect on work that has ended: its reason stays, and its timer ends", async () => {
  const clock = new FakeClock();
  const work = new AbortController();
  abortAfter(work, 1_000, clock, new Error("late"));
  work.abort("done");
  await clock.advance(2_000);
  expect(work.signal.reason).toBe("done");
});
