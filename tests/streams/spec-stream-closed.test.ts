import { expect, test } from "bun:test";
import { SharedCount } from "../../src/platform/shared-count.ts";
import { InFlight } from "../../src/server/limits.ts";
import { HeldFeed } from "../../src/specs/store.ts";
import type { StreamEvent } from "../../src/streams/events.ts";
import { FeedFinder } from "../../src/streams/requested-feed.ts";
import { SpecStreams } from "../../src/streams/spec-stream.ts";
import { StreamLimit } from "../../src/streams/stream-limit.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";

test("a client that is gone before its request is read opens no stream", async () => {
  const held = new HeldFeed(snapshotOf(feedOf("secret-a"), 5));
  const events: StreamEvent[] = [];
  const limit = new StreamLimit(1, 90, new SharedCount());
  const inFlight = new InFlight(1, new SharedCount(), () => {});
  const finder = new FeedFinder({ held: () => held, ask: () => expect.unreachable() }, inFlight);
  const emit = (event: StreamEvent) => void events.push(event);
  const stream = new SpecStreams({ finder, limit, clock: new FakeClock(), emit }).enter();
  stream.close();
  const request = {
    sdkKey: held.feed.sdkKey,
    version: "v2",
    sinceTime: 0,
    headers: () => new Headers(),
  } as const;
  expect(() => stream.openHeld(request)).toThrow("The client is gone");
  await expect(stream.open(request)).rejects.toThrow("The client is gone");
  expect([held.isFollowed, limit.open, events]).toEqual([false, 0, []]);
});
