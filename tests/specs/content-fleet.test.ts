import { describe, expect, test } from "bun:test";
import { feedId } from "../../src/specs/feed.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { SharedChannel, SimulatedRelay, SimulatedUpstream } from "../support/specs/simulated-fleet.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const INTERVAL_MS = 10_000;
const HOUR_MS = 3_600_000;
const feed = feedOf("secret-of-the-fleet");

/** Relays of a fleet that share a backup and an upstream, whose version 5 has the content "a" at first. */
class ContentFleet implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly upstream = new SimulatedUpstream();
  readonly channel = new SharedChannel(this.clock);
  readonly entries = new Map<string, Snapshot>();
  readonly relays: SimulatedRelay[] = [];
  /** The checksum of each version that was stored. */
  readonly stored: string[] = [];

  constructor() {
    Object.assign(this.upstream, { lcut: 5, checksum: "a" });
    const set = this.entries.set.bind(this.entries);
    this.entries.set = (id, snapshot) => {
      this.stored.push(snapshot.checksum);
      return set(id, snapshot);
    };
  }

  async start(size: number): Promise<this> {
    for (let each = 0; each < size; each++) this.startRelay();
    await this.clock.advance(3 * INTERVAL_MS);
    return this;
  }

  startRelay(): SimulatedRelay {
    const { clock, upstream, channel, entries } = this;
    const relay = new SimulatedRelay(clock, upstream, channel, entries, {
      intervalMs: INTERVAL_MS,
      feeds: [feed],
    });
    this.relays.push(relay);
    return relay;
  }

  get backup(): string | undefined {
    return this.entries.get(feedId(feed))?.checksum;
  }

  get held(): readonly (string | undefined)[] {
    return this.relays
      .filter(({ isAlive }) => isAlive)
      .map(({ store }) => store.peek(feed)?.snapshot.checksum);
  }

  get lcuts(): readonly (number | undefined)[] {
    return this.relays.map(({ store }) => store.peek(feed)?.snapshot.lcut);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of this.relays) await relay[Symbol.asyncDispose]();
  }
}

describe("another content with the lcut that a fleet has", () => {
  test("is stored once, and held by all relays as soon as one of them has it", async () => {
    await using fleet = await new ContentFleet().start(4);
    expect([fleet.held, fleet.backup]).toEqual([Array(4).fill("a"), "a"]);
    fleet.upstream.checksum = "b";
    const asked = fleet.upstream.asked.length;
    for (let waitedMs = 0; fleet.backup !== "b"; waitedMs += 100) {
      expect(waitedMs).toBeLessThan(2 * INTERVAL_MS);
      await fleet.clock.advance(100);
    }
    await fleet.clock.advance(100);
    expect(fleet.held).toEqual(Array(4).fill("b"));
    expect(fleet.upstream.asked.length - asked).toBeLessThanOrEqual(2);
    await fleet.clock.advance(HOUR_MS);
    expect(fleet.stored).toEqual(["a", "b"]);
    expect(fleet.held).toEqual(Array(4).fill("b"));
  });

  test("is held by a relay that lost the announcement once it asks upstream itself", async () => {
    await using fleet = await new ContentFleet().start(2);
    fleet.channel.losesAnnouncements = true;
    fleet.upstream.checksum = "b";
    await fleet.clock.advance(2 * INTERVAL_MS);
    expect(fleet.backup).toBe("b");
    expect(fleet.held).toContain("b");
    for (const relay of fleet.relays) {
      if (relay.store.peek(feed)?.snapshot.checksum === "b") await relay[Symbol.asyncDispose]();
    }
    await fleet.clock.advance(5 * INTERVAL_MS);
    expect(new Set(fleet.held)).toEqual(new Set(fleet.held.length > 0 ? ["b"] : []));
    expect(fleet.stored).toEqual(["a", "b"]);
  });

  test("comes back from the backup after a restart without upstream", async () => {
    await using fleet = await new ContentFleet().start(2);
    fleet.upstream.checksum = "b";
    await fleet.clock.advance(3 * INTERVAL_MS);
    for (const relay of fleet.relays) await relay[Symbol.asyncDispose]();
    fleet.startRelay().isCutOff = true;
    await fleet.clock.advance(2 * INTERVAL_MS);
    expect(fleet.held).toEqual(["b"]);
  });

  test("replaces the backup's if upstream sends it to a relay that has just started", async () => {
    await using fleet = await new ContentFleet().start(1);
    // So that the new relay asks upstream.
    fleet.channel.works = false;
    fleet.upstream.checksum = "b";
    const [first] = fleet.relays;
    if (first !== undefined) first.contentOfUpstream = "a";
    const second = fleet.startRelay();
    await fleet.clock.advance(100);
    expect(second.store.peek(feed)?.snapshot.checksum).toBe("b");
    expect(fleet.backup).toBe("b");
    // The other one has nothing to write, and a lost announcement changes nothing.
    await fleet.clock.advance(10 * INTERVAL_MS);
    expect(fleet.held).toEqual(["a", "b"]);
    expect(fleet.stored).toEqual(["a", "b"]);
  });

  test("is stored once the backup accepts writes again, and announced then", async () => {
    await using fleet = await new ContentFleet().start(3);
    for (const { backup } of fleet.relays) backup.acceptsWrites = false;
    fleet.upstream.checksum = "b";
    await fleet.clock.advance(3 * INTERVAL_MS);
    expect(fleet.backup).toBe("a");
    expect(fleet.held).toContain("b");
    for (const { backup } of fleet.relays) backup.acceptsWrites = true;
    await fleet.clock.advance(INTERVAL_MS);
    expect([fleet.backup, fleet.held]).toEqual(["b", ["b", "b", "b"]]);
    await fleet.clock.advance(HOUR_MS);
    expect(fleet.stored.filter((checksum) => checksum === "b").length).toBeWithin(1, 4);
  });

  test("never makes an older lcut of it: a newer version wins on every relay", async () => {
    await using fleet = await new ContentFleet().start(3);
    const [first] = fleet.relays;
    if (first !== undefined) first.contentOfUpstream = "late";
    Object.assign(fleet.upstream, { lcut: 6, checksum: "b" });
    await fleet.clock.advance(3 * INTERVAL_MS);
    fleet.channel.announce(feed, { lcut: 5, checksum: "a" });
    await fleet.clock.advance(INTERVAL_MS);
    expect(fleet.lcuts).toEqual([6, 6, 6]);
  });
});

test("relays to which upstream keeps sending different contents do not replace each other's for ever", async () => {
  await using fleet = await new ContentFleet().start(2);
  const [first, second] = fleet.relays;
  if (first === undefined || second === undefined) return expect.unreachable();
  Object.assign(first, { contentOfUpstream: "a" });
  Object.assign(second, { contentOfUpstream: "b" });
  const hours = 10;
  await fleet.clock.advance(hours * HOUR_MS);
  expect(fleet.upstream.asked.length).toBeGreaterThan(hours * 300);
  // Each relay goes back to its content at most once in ten minutes, after the first times.
  expect(fleet.stored.length).toBeWithin(3, 2 * (hours * 6 + 10));
  fleet.upstream.checksum = "c";
  for (const relay of fleet.relays) relay.contentOfUpstream = undefined;
  await fleet.clock.advance(20 * 60_000);
  expect([fleet.backup, fleet.held]).toEqual(["c", ["c", "c"]]);
});
