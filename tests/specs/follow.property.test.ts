import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HEARTBEAT_MS } from "../../src/grpc/spec-stream.ts";
import { FollowedStream, type Scenario, scenario } from "../support/clients/followed-stream.ts";
import { settle } from "../support/common/fake-clock.ts";

/** Runs each scenario to its end, and gives what came of it to `check`. */
async function always(check: (stream: FollowedStream, scenario: Scenario) => Promise<void>): Promise<void> {
  const property = fc.asyncProperty(scenario, async (each) => {
    const stream = new FollowedStream(each.firstLcut, each.sinceTime);
    for (const step of each.steps) await stream.apply(step);
    await check(stream, each);
  });
  await fc.assert(property, { numRuns: 200 });
}

describe("whenever versions come, the clock ticks and the client reads", () => {
  test("a client gets each version once, in order, and none that it said it has", async () => {
    await always(async (stream, { sinceTime }) => {
      await stream.drain();
      const lcuts = stream.specLcuts;
      expect(lcuts).toEqual([...new Set(lcuts)].sort((a, b) => a - b));
      for (const lcut of lcuts) expect(lcut).toBeGreaterThan(sinceTime);
    });
  });

  test("a client that keeps reading has the last version in the end", async () => {
    await always(async (stream, { sinceTime }) => {
      await stream.drain();
      const last = stream.held.snapshot.lcut;
      expect(stream.specLcuts.at(-1)).toBe(last > sinceTime ? last : undefined);
    });
  });

  test("nothing is queued: a read after an answer gives the version of this moment", async () => {
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

  test("the first answer comes at once, and says no update only to who has this version or a newer", async () => {
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

  test("a heartbeat carries the lcut that was sent last", async () => {
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

describe("without a new version", () => {
  test("a waiting client is told so every 30 seconds", async () => {
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

  test("the time is counted from the last version, and heartbeats that a slow client missed do not pile up", async () => {
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

  test("a version that came while the client did not read makes the next heartbeat no later", async () => {
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

// Upstream may say `time: 0`, and the version 0 is news to a client at 0 for ever.
test("a version 0 is sent once", async () => {
  const stream = new FollowedStream(0, 0);
  await stream.drain();
  expect(stream.specLcuts).toEqual([0]);
});
