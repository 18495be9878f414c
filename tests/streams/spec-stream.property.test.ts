import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { VersionId } from "../../src/specs/deltas/delta.ts";
import { isOtherContent } from "../../src/specs/snapshot.ts";
import { HEARTBEAT_MS } from "../../src/streams/heartbeats.ts";
import { FollowedStream, type Scenario, scenario } from "../support/clients/followed-stream.ts";
import { settle } from "../support/common/fake-clock.ts";

/** Runs each scenario to its end, and passes the result to `check`. */
async function always(check: (stream: FollowedStream, scenario: Scenario) => Promise<void>): Promise<void> {
  const property = fc.asyncProperty(scenario, async (each) => {
    const stream = new FollowedStream(each.firstLcut, each.sinceTime, each.firstChecksum);
    for (const step of each.steps) await stream.apply(step);
    await check(stream, each);
  });
  await fc.assert(property, { numRuns: 200 });
}

describe("with versions, ticks of the clock and reads in any order", () => {
  test("a client gets each version and each content once, in order, and none that it already has", async () => {
    await always(async (stream, { sinceTime }) => {
      await stream.drain();
      const first = stream.startedWith ?? expect.unreachable();
      let before: VersionId = { lcut: sinceTime, checksum: first.lcut === sinceTime ? first.checksum : "" };
      for (const each of stream.specs) {
        // The client may have any content of a version that the relay did not have at first.
        const isUnknown = first.lcut < sinceTime && each === stream.specs[0];
        const isContent = isOtherContent(each, before) || (isUnknown && each.lcut === sinceTime);
        expect(each.lcut > before.lcut || isContent).toBe(true);
        before = each;
      }
    });
  });

  test("a client that keeps reading ends with the last version", async () => {
    await always(async (stream, { sinceTime }) => {
      await stream.drain();
      const last = stream.held.snapshot;
      if (last.lcut === sinceTime) return;
      const expected = last.lcut > sinceTime ? last : undefined;
      expect(stream.specs.at(-1)?.lcut).toBe(expected?.lcut);
      expect(stream.specs.at(-1)?.checksum).toBe(expected?.checksum);
    });
  });

  test("a client that has the first version ends with the last content of its lcut", async () => {
    await always(async (stream, { sinceTime }) => {
      await stream.drain();
      const [first, last] = [stream.startedWith, stream.held.snapshot];
      if (first?.lcut !== sinceTime || last.lcut !== sinceTime) return;
      expect(stream.specs.at(-1)?.checksum ?? first.checksum).toBe(last.checksum);
    });
  });

  test("nothing is queued: a read returns the current version", async () => {
    await always(async (stream) => {
      await stream.drain();
      for (const lcut of [11, 12, 13]) stream.publish(stream.held.snapshot.lcut + lcut);
      await settle();
      const before = stream.items.length;
      stream.publish(1_000);
      stream.publish(1_001);
      await stream.drain();
      expect(stream.items.slice(before).map((item) => item.kind)).toEqual(["spec"]);
      expect(stream.specLcuts.at(-1)).toBe(1_001);
    });
  });

  test("the first message comes at once, and is no update only if the client has this version or a newer one", async () => {
    const property = fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.nat(8), async (lcut, sinceTime) => {
      const stream = new FollowedStream(lcut, sinceTime);
      stream.read();
      await settle();
      expect(stream.items).toEqual([
        sinceTime >= lcut ? { kind: "no_update", lcut } : { kind: "spec", snapshot: stream.held.snapshot },
      ]);
    });
    await fc.assert(property);
  });

  test("a heartbeat has the lcut that was sent last", async () => {
    await always(async (stream, { firstLcut }) => {
      let sent: number | undefined;
      for (const item of stream.items) {
        if (item.kind === "no_update") expect(item.lcut).toBe(sent ?? item.lcut);
        sent = item.kind === "spec" ? item.snapshot.lcut : item.lcut;
        expect(sent).toBeGreaterThanOrEqual(firstLcut);
      }
    });
  });
});

describe("another content with the same lcut", () => {
  test("is sent at once, also to a client that has the version, and the next heartbeat has the same lcut", async () => {
    for (const sinceTime of [0, 7]) {
      const stream = new FollowedStream(7, sinceTime, "a");
      await stream.drain();
      stream.publish(7, "b");
      await stream.drain();
      stream.publish(7, "a");
      await stream.drain();
      const sent = stream.specs.map(({ checksum }) => checksum);
      expect(sent).toEqual(sinceTime === 0 ? ["a", "b", "a"] : ["b", "a"]);
      await stream.clock.advance(HEARTBEAT_MS);
      expect(stream.items.at(-1)).toEqual({ kind: "no_update", lcut: 7 });
    }
  });

  test("is sent if it arrives before the client has read that it is up to date", async () => {
    const stream = new FollowedStream(7, 7, "a");
    stream.read();
    await settle();
    stream.publish(7, "b");
    await stream.drain();
    expect(stream.specs.map(({ checksum }) => checksum)).toEqual(["b"]);
  });

  test("is not sent if it has been undone before the client reads", async () => {
    const stream = new FollowedStream(7, 0, "a");
    stream.read();
    await settle();
    stream.publish(7, "b");
    stream.publish(7, "a");
    await stream.drain();
    expect(stream.specs.map(({ checksum }) => checksum)).toEqual(["a"]);
  });

  test("is not sent to a client with a newer lcut, which gets the next content of that", async () => {
    const stream = new FollowedStream(7, 9, "a");
    await stream.drain();
    stream.publish(7, "b");
    await stream.drain();
    stream.publish(9, "c");
    await stream.drain();
    expect(stream.specs).toEqual([]);
    stream.publish(9, "d");
    await stream.drain();
    expect(stream.specs.map(({ checksum }) => checksum)).toEqual(["d"]);
  });
});

describe("without a new version", () => {
  test("a client that reads at once gets a message exactly 30 s after its last one, whatever happens on the feed", async () => {
    const property = fc.asyncProperty(scenario, async ({ firstLcut, sinceTime, steps }) => {
      const stream = new FollowedStream(firstLcut, sinceTime);
      stream.isEager = true;
      stream.read();
      for (const step of steps) {
        await settle();
        await stream.apply(step);
      }
      await settle();
      stream.arrivals.push(stream.clock.elapsed());
      for (const [at, arrivedAt] of stream.arrivals.entries()) {
        const gapMs = arrivedAt - (stream.arrivals[at - 1] ?? arrivedAt);
        expect(gapMs).toBeLessThanOrEqual(HEARTBEAT_MS);
        if (at > 0 && stream.items[at]?.kind === "no_update") expect(gapMs).toBe(HEARTBEAT_MS);
      }
    });
    await fc.assert(property, { numRuns: 300 });
  });

  test("a waiting client gets a heartbeat every 30 seconds", async () => {
    const stream = new FollowedStream(7, 0);
    await stream.drain();
    for (let beats = 1; beats <= 3; beats++) {
      await stream.clock.advance(HEARTBEAT_MS - 1);
      expect(stream.items).toHaveLength(beats);
      await stream.clock.advance(1);
      expect(stream.items.at(-1)).toEqual({ kind: "no_update", lcut: 7 });
      stream.read();
    }
  });

  test("the 30 seconds start with the last version, and heartbeats that a slow client missed do not pile up", async () => {
    const stream = new FollowedStream(7, 0);
    await stream.drain();
    await stream.clock.advance(HEARTBEAT_MS - 1);
    stream.publish(8);
    await stream.drain();
    await stream.clock.advance(HEARTBEAT_MS - 1);
    expect(stream.specLcuts).toEqual([7, 8]);
    expect(stream.items).toHaveLength(2);
    await stream.clock.advance(1);
    expect(stream.items).toHaveLength(3);
    await stream.clock.advance(10 * HEARTBEAT_MS);
    await stream.drain();
    expect(stream.items).toHaveLength(3);
  });

  test("a version that arrives while the client does not read does not delay the next heartbeat", async () => {
    const stream = new FollowedStream(7, 0);
    stream.read();
    await settle();
    stream.publish(8);
    await stream.drain();
    expect(stream.specLcuts).toEqual([7, 8]);
    await stream.clock.advance(HEARTBEAT_MS);
    expect(stream.items.at(-1)).toEqual({ kind: "no_update", lcut: 8 });
  });
});

// Upstream may send `time: 0`, and version 0 is new to a client at 0 forever.
test("a version 0 is sent once", async () => {
  const stream = new FollowedStream(0, 0);
  await stream.drain();
  expect(stream.specLcuts).toEqual([0]);
});
