import { expect, test } from "bun:test";
import { Spacing } from "../../src/platform/spacing.ts";
import { type RefreshPriority, RequestSlots } from "../../src/specs/request-slots.ts";
import { FakeClock, settle } from "../support/common/fake-clock.ts";

function spacedSlots(spacingMs: number, max = 100) {
  const clock = new FakeClock();
  const plan = { spacingMs };
  const spacing = new Spacing(clock, () => plan.spacingMs);
  const slots = new RequestSlots({ clock, max, spacing });
  const startedAt = clock.elapsed();
  const starts: string[] = [];
  const take = (id: string, priority: RefreshPriority) =>
    slots.take(id, priority).then((slot) => {
      starts.push(`${id}@${clock.elapsed() - startedAt}`);
      return slot;
    });
  return { clock, slots, spacing, starts, take, plan };
}

/** A request of the feed hangs until it ends. */
async function becomeSuspect(clock: FakeClock, slots: RequestSlots, id: string): Promise<void> {
  using slot = await slots.take(id, "cache_miss");
  const hanging = slot.watch(() => clock.sleep(2_000, new AbortController().signal));
  await clock.advance(2_000);
  await hanging;
}

test("polls start at least the spacing apart, in their order", async () => {
  const { clock, take, starts } = spacedSlots(200);
  for (const id of ["a", "b", "c"]) void take(id, "poll");
  await clock.advance(199);
  expect(starts).toEqual(["a@0"]);
  await clock.advance(1_000);
  expect(starts).toEqual(["a@0", "b@200", "c@400"]);
});

test("first requests do not wait for the spacing, and neither does a poll that a client waits for now", async () => {
  const { slots, take, starts } = spacedSlots(60_000);
  for (const id of ["a", "b"]) void take(id, "poll");
  void take("new", "cache_miss");
  slots.prioritize("b");
  await settle();
  expect(starts).toEqual(["a@0", "new@0", "b@0"]);
});

test("a suspect that a client waits for does not wait for the spacing, behind or as a poll of suspects", async () => {
  const { clock, slots, take, starts } = spacedSlots(60_000);
  for (const id of ["a", "b", "new"]) await becomeSuspect(clock, slots, id);
  starts.length = 0;
  void take("other", "poll");
  const from = clock.elapsed();
  for (const id of ["a", "b"]) void take(id, "poll");
  void take("new", "cache_miss");
  await settle();
  expect(starts.map((start) => start.replace(/@.*/, ""))).toEqual(["other", "new"]);
  slots.prioritize("b");
  await settle();
  expect(starts.map((start) => start.replace(/@.*/, ""))).toEqual(["other", "new", "b"]);
  expect(clock.elapsed()).toBe(from);
});

test("polls that waited for a free slot are spaced as well", async () => {
  const { clock, take, starts } = spacedSlots(200, 1);
  const first = await take("a", "poll");
  for (const id of ["b", "c"]) void take(id, "poll");
  await clock.advance(900);
  first[Symbol.dispose]();
  await clock.advance(100);
  expect(starts).toEqual(["a@0", "b@900"]);
});

test("the spacing holds for all who share it, and 0 turns it off", async () => {
  const { clock, spacing, take, starts, plan } = spacedSlots(500);
  void take("a", "poll");
  let isMyTurn = false;
  void spacing.turn(new AbortController().signal).then(() => {
    isMyTurn = true;
  });
  await clock.advance(499);
  expect(isMyTurn).toBe(false);
  await clock.advance(1);
  expect(isMyTurn).toBe(true);
  plan.spacingMs = 0;
  for (const id of ["b", "c"]) void take(id, "poll");
  await settle();
  expect(starts).toEqual(["a@0", "b@500", "c@500"]);
});
