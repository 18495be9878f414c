import { expect, test } from "bun:test";
import fc from "fast-check";
import { openPlaces, PinnedRelay } from "../support/specs/pinned-fleet.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const feed = feedOf("secret-ordered-at-once");
const order = { sdkKey: feed.sdkKey, by: "127.0.0.1", reason: "" };
const RELAYS = 2;
const VERSIONS = [1_000, 2_000, 3_000] as const;

/** An order to one relay. Several of them begin before the first one is done; `after` shifts them against each other. */
const orders = fc.array(
  fc.record({
    relay: fc.nat(RELAYS - 1),
    to: fc.constantFrom(...VERSIONS, "pin" as const),
    after: fc.nat(30),
  }),
  { minLength: 2, maxLength: 4 },
);

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await Promise.resolve();
}

const SAME_ORDERS = [
  { relay: 1, to: "pin", after: 5 },
  { relay: 1, to: 1_000, after: 26 },
  { relay: 0, to: 1_000, after: 0 },
  { relay: 0, to: "pin", after: 5 },
] as const;

test("orders of several operators at once: every relay ends at what the last stored order says", async () => {
  await fc.assert(
    fc.asyncProperty(orders, async (given) => {
      const places = openPlaces();
      const relays = Array.from({ length: RELAYS }, () => new PinnedRelay(feed, places));
      try {
        for (const lcut of VERSIONS) {
          places.source.lcut = lcut;
          for (const relay of relays) await relay.poll();
        }
        await Promise.all(
          given.map(async ({ relay, to, after }) => {
            const { desk } = relays[relay] as PinnedRelay;
            await turns(after);
            if (to === "pin") return desk.hold(order);
            return desk.rollBack(order, to);
          }),
        );
        for (let round = 0; round < 6; round++) {
          for (const relay of relays) {
            await relay.poll();
            await relay.readPins();
          }
        }
        for (const { content, desk, served } of relays) {
          const pin = desk.pinOf(feed.sdkKey);
          expect(pin?.missing ?? []).toEqual([]);
          if (pin?.pin.to !== undefined) expect(content).toBe(pin.pin.to);
          if (pin === undefined) expect(content).toBe(places.source.lcut);
          expect(served).toEqual(served.toSorted((a, b) => a - b));
        }
        expect(new Set(relays.map(({ content }) => content)).size).toBe(1);
      } finally {
        for (const relay of relays) await relay[Symbol.asyncDispose]();
      }
    }),
    // The record ends with another lcut than the relays serve the same content under.
    { numRuns: 300, examples: [[[...SAME_ORDERS]]] },
  );
}, 60_000);
