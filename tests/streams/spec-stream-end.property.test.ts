import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HEARTBEAT_MS } from "../../src/streams/heartbeats.ts";
import { FollowedStream, scenario } from "../support/clients/followed-stream.ts";
import { settle } from "../support/common/fake-clock.ts";

/** A stream after a scenario in which the client read at least once. */
async function always(check: (stream: FollowedStream) => Promise<void>): Promise<void> {
  const property = fc.asyncProperty(scenario, async ({ firstLcut, sinceTime, steps }) => {
    const stream = new FollowedStream(firstLcut, sinceTime);
    stream.read();
    for (const step of steps) await stream.apply(step);
    await check(stream);
  });
  await fc.assert(property, { numRuns: 200 });
}

describe("when a client disconnects at any time", () => {
  test("its follower is removed even if it never reads again", async () => {
    await always(async ({ held, abort }) => {
      expect(held.isFollowed).toBe(true);
      abort.abort(new Error("the client is gone"));
      expect(held.isFollowed).toBe(false);
    });
  });

  test("a read ends with the signal's reason, and no timer is left", async () => {
    await always(async (stream) => {
      stream.abort.abort(new Error("the client is gone"));
      await stream.drain();
      expect([stream.ended, stream.clock.sleeping]).toEqual(["rejected", 0]);
      const after = stream.items.length;
      stream.publish(1_000);
      await stream.clock.advance(2 * HEARTBEAT_MS);
      expect([stream.items.length, stream.held.isFollowed]).toEqual([after, false]);
    });
  });

  test("ending the iteration early removes the follower too", async () => {
    await always(async (stream) => {
      await settle();
      if (stream.isReading) stream.publish(1_000);
      await settle();
      await stream.leaveOff();
      expect([stream.held.isFollowed, stream.clock.sleeping, stream.open]).toEqual([false, 0, 0]);
    });
  });
});

test("a client that disconnects before its first read leaves no follower behind", async () => {
  const stream = new FollowedStream(5, 0);
  stream.abort.abort(new Error("the client is gone"));
  stream.read();
  await settle();
  expect(stream.held.isFollowed).toBe(false);
});

describe("when the feed is no longer held at any time", () => {
  test.each(["evicted", "unauthorized"] as const)(
    "a waiting or reading client's stream ends: %s",
    async (reason) => {
      await always(async (stream) => {
        stream.held.end(reason);
        await stream.drain();
        expect([stream.ended, stream.held.isFollowed, stream.clock.sleeping]).toEqual(["refused", false, 0]);
        expect(stream.open).toBe(0);
      });
    },
  );

  test("a client that reads too late gets at most the version it requested, and then the end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(8), async (sinceTime) => {
        const stream = new FollowedStream(4, sinceTime);
        stream.held.end("evicted");
        await stream.drain();
        expect([stream.ended, stream.held.isFollowed]).toEqual(["refused", false]);
      }),
    );
  });
});
