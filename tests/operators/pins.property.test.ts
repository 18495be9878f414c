import { expect, test } from "bun:test";
import fc from "fast-check";
import { type FleetPlaces, openPlaces, PinnedRelay } from "../support/specs/pinned-fleet.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const feed = feedOf("secret-pinned");
const { sdkKey } = feed;
const order = { sdkKey, by: "127.0.0.1", reason: "" };
const RELAYS = 3;

type Step =
  | { readonly do: "publish" | "hang" | "answer" | "lose pins" }
  | {
      readonly do: "poll" | "read pins" | "roll back" | "pin" | "release" | "restart";
      readonly relay: number;
    };

const relay = fc.nat(RELAYS - 1);
const onRelay = (...names: Extract<Step, { relay: number }>["do"][]) =>
  fc.record({ do: fc.constantFrom(...names), relay });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ do: "publish" } as const) },
  { weight: 6, arbitrary: onRelay("poll") },
  { weight: 3, arbitrary: onRelay("roll back") },
  { weight: 4, arbitrary: onRelay("pin", "release", "restart", "read pins") },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("hang", "answer", "lose pins") }) as fc.Arbitrary<Step>,
  },
);

/** What the fleet must serve once nothing happens any more. */
class Model {
  /** The pinned content; undefined if upstream's newest counts. */
  pinned: number | undefined;
}

async function settle(relays: readonly PinnedRelay[]): Promise<void> {
  for (let round = 0; round < 6; round++) {
    for (const each of relays) {
      await each.poll();
      await each.readPins();
    }
  }
}

async function act(relays: PinnedRelay[], places: FleetPlaces, model: Model, at: Step): Promise<void> {
  const { source, pins } = places;
  switch (at.do) {
    case "publish":
      source.lcut += 1_000;
      return;
    case "hang":
      source.isHanging = true;
      return;
    case "answer":
      return source.answerAll();
    case "lose pins":
      // The others have read them before: what one relay alone knows, a restart of that relay loses.
      for (const each of relays) await each.readPins();
      pins.text = undefined;
      return;
    default:
      return actOn(relays, places, model, at);
  }
}

async function actOn(
  relays: PinnedRelay[],
  places: FleetPlaces,
  model: Model,
  at: Extract<Step, { relay: number }>,
): Promise<void> {
  const acting = relays[at.relay] as PinnedRelay;
  switch (at.do) {
    case "poll": {
      const polled = acting.poll();
      // An answer that hangs arrives while other things happen.
      if (places.source.isHanging) polled.catch(() => {});
      else await polled;
      return;
    }
    case "read pins":
      return acting.readPins();
    case "roll back": {
      const outcome = await acting.desk.rollBack(order);
      if (outcome.kind !== "done") return;
      model.pinned = acting.content;
      // From what is served when the order is carried out: a release by another relay may just have become known.
      for (const { from, to } of outcome.feeds) expect(to).toBeLessThan(from);
      return;
    }
    case "pin": {
      const outcome = await acting.desk.hold(order);
      if (outcome.kind === "done") model.pinned = acting.content;
      return;
    }
    case "release": {
      if (places.source.isHanging) return;
      const outcome = await acting.desk.release(order);
      if (outcome.kind === "done") model.pinned = undefined;
      return;
    }
    case "restart": {
      const before = acting.lcut;
      await acting[Symbol.asyncDispose]();
      const started = new PinnedRelay(feed, places);
      relays[at.relay] = started;
      if (places.source.isHanging) return;
      await started.poll();
      // What clients had got was in the backup before.
      expect(started.lcut).toBeGreaterThanOrEqual(before);
    }
  }
}

const RELEASED_ELSEWHERE: readonly Step[] = [
  { do: "publish" },
  { do: "poll", relay: 1 },
  { do: "pin", relay: 0 },
  { do: "poll", relay: 0 },
  { do: "release", relay: 0 },
];

const ROLLED_BACK_TWICE: readonly Step[] = [
  { do: "publish" },
  { do: "restart", relay: 0 },
  { do: "publish" },
  { do: "poll", relay: 1 },
  { do: "poll", relay: 0 },
  { do: "roll back", relay: 0 },
  { do: "roll back", relay: 1 },
];

const PINNED_AFTER_ROLLBACK: readonly Step[] = [
  { do: "publish" },
  { do: "poll", relay: 1 },
  { do: "roll back", relay: 1 },
  { do: "pin", relay: 0 },
  { do: "release", relay: 0 },
];

const PINNED_FOR_SEVERAL: readonly Step[] = [
  { do: "publish" },
  { do: "poll", relay: 1 },
  { do: "publish" },
  { do: "poll", relay: 2 },
  { do: "pin", relay: 0 },
  { do: "poll", relay: 2 },
  { do: "release", relay: 1 },
];

test("whatever operators, upstream and relays do in any order: no lcut goes back, and all relays end at what was asked for", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const places = openPlaces();
      const relays = Array.from({ length: RELAYS }, () => new PinnedRelay(feed, places));
      const model = new Model();
      try {
        for (const each of relays) await each.poll();
        for (const at of steps) {
          await act(relays, places, model, at);
          for (const { served } of relays) expect(served).toEqual(served.toSorted((a, b) => a - b));
        }
        await places.source.answerAll();
        await settle(relays);
        const wanted = model.pinned ?? places.source.lcut;
        expect(relays.map(({ content }) => content)).toEqual(relays.map(() => wanted));
        expect(new Set(relays.map(({ lcut }) => lcut)).size).toBe(1);
      } finally {
        for (const each of relays) await each[Symbol.asyncDispose]();
      }
    }),
    // Another relay has the newest version under the lcut of upstream when it is published again; two relays go back to different
    // versions, both under the next lcut; a relay pins the content that another one has published again, under its old lcut; relays
    // with different versions carry out the same order at once.
    {
      numRuns: 300,
      examples: [[RELEASED_ELSEWHERE], [ROLLED_BACK_TWICE], [PINNED_AFTER_ROLLBACK], [PINNED_FOR_SEVERAL]],
    },
  );
}, 60_000);
