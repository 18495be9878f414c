import { expect, test } from "bun:test";
import fc from "fast-check";
import { RequestSlots } from "../../src/specs/request-slots.ts";
import { FakeClock } from "../support/common/fake-clock.ts";

/** A request: when it is made, and the delay of each chunk of its response. */
const request = fc.record({
  feed: fc.integer({ min: 0, max: 20 }),
  priority: fc.constantFrom("cache_miss" as const, "poll" as const),
  atMs: fc.integer({ min: 0, max: 6_000 }),
  isPrioritized: fc.boolean(),
  piecesAfterMs: fc.array(fc.constantFrom(1, 400, 1_500, 9_000), { maxLength: 6 }),
  endsAfterMs: fc.constantFrom(0, 5, 900, 10_000),
});

test("at most twice -u requests are open, all get their turn, and none keeps a slot", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.array(request, { minLength: 1, maxLength: 60 }),
      async (max, requests) => {
        const clock = new FakeClock();
        const slots = new RequestSlots({ clock, max });
        const never = new AbortController().signal;
        const inFlight = new Set<number>();
        let open = 0;
        let mostOpen = 0;
        let done = 0;
        const run = async ({
          feed,
          priority,
          atMs,
          isPrioritized,
          piecesAfterMs,
          endsAfterMs,
        }: (typeof requests)[0]) => {
          await clock.sleep(atMs, never);
          // One at a time for each feed, as in the refresher.
          if (inFlight.has(feed)) return;
          inFlight.add(feed);
          const taking = slots.take(String(feed), priority);
          if (isPrioritized) slots.prioritize(String(feed));
          {
            using slot = await taking;
            mostOpen = Math.max(mostOpen, ++open);
            await slot.watch(async (progressed) => {
              for (const ms of piecesAfterMs) {
                await clock.sleep(ms, never);
                progressed();
              }
              await clock.sleep(endsAfterMs, never);
            });
            open--;
          }
          inFlight.delete(feed);
          done++;
        };
        const all = Promise.all(requests.map(run));
        await clock.advance(10_000_000);
        await all;
        expect(mostOpen).toBeLessThanOrEqual(2 * max);
        expect(done).toBeGreaterThan(0);
        expect([slots.waiting, open, inFlight.size, clock.sleeping]).toEqual([0, 0, 0, 0]);
        // All slots are free: that many can start at once.
        const free = Array.from({ length: max }, (_, at) =>
          slots.take(`new-${at}`, at % 2 ? "poll" : "cache_miss"),
        );
        await Promise.all(free);
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);
