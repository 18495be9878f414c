import { expect, test } from "bun:test";
import fc from "fast-check";
import { AllowList } from "../../src/access/allow-list.ts";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import type { ServingThread } from "../../src/control/serving-thread.ts";
import { SpecPublisher } from "../../src/control/spec-publisher.ts";
import { systemClock, takeInstant } from "../../src/platform/clock.ts";
import type { ToServing } from "../../src/serving/messages.ts";
import { SpecReplica, type SpecUpdate, type SpecUse } from "../../src/serving/spec-replica.ts";
import { type HeldFeed, SpecStore } from "../../src/specs/store.ts";
import { feedOf, sdkKeyOf, snapshotOf } from "../support/specs/snapshots.ts";

const [ONE, TWO] = ["secret-one-0123456789", "secret-two-0123456789"].map(sdkKeyOf) as [SdkKey, SdkKey];
const FEEDS = [ONE, TWO].map((key) => feedOf(key));

/** A store with room for one key, and the replica of a thread. Messages arrive when the test says. */
function connect() {
  let elapsed = 0;
  const clock = { ...systemClock, now: () => elapsed, elapsed: () => elapsed };
  const store = new SpecStore({ maxKeys: 1 });
  const toThread: ToServing[] = [];
  const toControl: SpecUse[] = [];
  const allowList = new AllowList([ONE, TWO]);
  const broadcast = (message: ToServing) => toThread.push(message);
  const publisher = new SpecPublisher({ store, allowList, broadcast });
  const report = (use: SpecUse) => toControl.push(use);
  const replica = new SpecReplica({ report, ask: () => Promise.reject(new Error("not asked")) });
  const thread = { name: "http2-1" } as ServingThread;
  return {
    ...{ clock, store, allowList, replica },
    tick: () => elapsed++,
    deliverToThread(count = toThread.length) {
      for (const update of toThread.splice(0, count)) replica.apply(update as SpecUpdate);
    },
    deliverToControl(count = toControl.length) {
      for (const use of toControl.splice(0, count)) publisher.record(use, thread);
    },
    [Symbol.dispose]: () => replica[Symbol.dispose](),
  };
}

const steps = fc.record({
  feed: fc.constantFrom(...FEEDS),
  lcut: fc.integer({ min: 1, max: 9 }),
  checksum: fc.constantFrom("", "a", "b"),
  what: fc.constantFrom(
    "publish",
    "publish_content",
    "confirm",
    "remove",
    "follow",
    "follow",
    "unfollow",
    "end_removed",
    "allow_one",
    "allow_both",
    "thread",
    "control",
  ),
});

test("for any order of events and messages, a replica ends up equal to what of the store is allowed, and the store knows its streams", () => {
  const property = fc.property(fc.array(steps, { maxLength: 60 }), (all) => {
    using connected = connect();
    const { clock, store, allowList, replica, deliverToThread, deliverToControl } = connected;
    // As the relay does, which has the feed again with the next poll.
    allowList.onRemoved((removed) => {
      for (const sdkKey of removed) store.removeKey(sdkKey, "unauthorized");
    });
    let streams: { readonly held: HeldFeed; readonly stop: () => void }[] = [];
    const end = (isOver: (held: HeldFeed) => boolean) => {
      for (const { held, stop } of streams) if (isOver(held)) stop();
      streams = streams.filter(({ held }) => !isOver(held));
    };
    for (const { feed, lcut, checksum, what } of all) {
      connected.tick();
      if (what === "publish" || what === "publish_content") {
        const replacesContent = what === "publish_content";
        store.publish(snapshotOf(feed, lcut, checksum), { confirmed: takeInstant(clock), replacesContent });
      }
      if (what === "confirm") store.confirm(feed, takeInstant(clock));
      if (what === "remove") store.remove(feed, "unauthorized");
      if (what === "allow_one") allowList.replace([ONE]);
      if (what === "allow_both") allowList.replace([ONE, TWO]);
      if (what === "thread") deliverToThread(lcut);
      if (what === "control") deliverToControl(lcut);
      const held = replica.store.peek(feed);
      if (what === "follow" && held !== undefined) streams.push({ held, stop: held.follow(() => {}) });
      if (what === "unfollow") end((each) => each === streams[0]?.held);
      // Later than the feed itself, which may be held again by then.
      if (what === "end_removed") end(({ ended }) => ended !== undefined);
    }
    deliverToThread();
    end(({ ended }) => ended !== undefined);
    deliverToControl();
    const view = (of: SpecStore, isShown: (held: HeldFeed) => boolean = () => true) =>
      new Map(
        [...of.held()]
          .filter(isShown)
          .map((held) => [
            held.feed.sdkKey,
            [held.snapshot.lcut, held.snapshot.checksum, held.confirmedAt, held.followers],
          ]),
      );
    const allowed = view(store, ({ feed }) => allowList.allows(feed.sdkKey));
    expect(new Map([...view(replica.store)].toSorted())).toEqual(new Map([...allowed].toSorted()));
  });
  fc.assert(property, { numRuns: 2_000 });
});

test("a stream of a removed feed that ends late leaves the streams of the feed that is held again", () => {
  using connected = connect();
  const { store, replica, deliverToThread, deliverToControl } = connected;
  const [feed = feedOf("")] = FEEDS;
  const follow = () => {
    store.publish(snapshotOf(feed, 1));
    deliverToThread();
    return replica.store.peek(feed)?.follow(() => {});
  };
  const stopFirst = follow();
  store.remove(feed, "unauthorized");
  follow();
  stopFirst?.();
  deliverToControl();
  expect(store.peek(feed)?.followers).toBe(1);
});
