import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Feed, feedId } from "../../src/specs/feed.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { failed, unauthorized } from "../support/specs/scripted-source.ts";
import { SharedChannel, SimulatedRelay, SimulatedUpstream } from "../support/specs/simulated-fleet.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const INTERVAL_MS = 10_000;
const FEEDS = [feedOf("secret-a"), feedOf("secret-b")];

class FleetUnderTest implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly upstream = new SimulatedUpstream();
  readonly channel = new SharedChannel(this.clock);
  readonly entries = new Map<string, Snapshot>();
  readonly relays: SimulatedRelay[] = [];

  /** Requests of all relays. */
  set backupTakesWrites(takes: boolean) {
    for (const relay of this.relays) relay.backup.acceptsWrites = takes;
  }

  readonly #clearOnUnauthorized: boolean;

  constructor(intervalsMs: readonly number[], { clearOnUnauthorized = false } = {}) {
    this.#clearOnUnauthorized = clearOnUnauthorized;
    for (const intervalMs of intervalsMs) this.start(intervalMs);
  }

  start(intervalMs: number): void {
    const { clock, upstream, channel, entries } = this;
    const clearOnUnauthorized = this.#clearOnUnauthorized;
    this.relays.push(
      new SimulatedRelay(clock, upstream, channel, entries, {
        intervalMs,
        feeds: FEEDS,
        clearOnUnauthorized,
      }),
    );
  }

  async replace(at: number, intervalMs: number): Promise<void> {
    const [killed] = this.relays.splice(at % this.relays.length, 1);
    await killed?.[Symbol.asyncDispose]();
    this.start(intervalMs);
  }

  /** The lcuts of each relay and of the backup. */
  lcuts(feed: Feed): (number | undefined)[] {
    const held = this.relays.map(({ store }) => store.peek(feed)?.snapshot.lcut);
    return [...held, this.entries.get(feedId(feed))?.lcut];
  }

  asked(feed: Feed, since: number): number {
    return this.upstream.asked.filter((each) => feedId(each.feed) === feedId(feed) && each.atMs > since)
      .length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of this.relays) await relay[Symbol.asyncDispose]();
  }
}

test.each([1, 2, 3, 10])(
  "%d relays ask upstream together about once per feed and interval, quick or slow",
  async (count) => {
    await using fleet = new FleetUnderTest(Array(count).fill(INTERVAL_MS));
    for (const latencyMs of [0, 1_000, 15_000]) {
      fleet.upstream.latencyMs = latencyMs;
      await fleet.clock.advance(3 * INTERVAL_MS);
      const since = fleet.clock.elapsed();
      await fleet.clock.advance(50 * INTERVAL_MS);
      const least = latencyMs < INTERVAL_MS ? 0.9 : 0.35;
      for (const feed of FEEDS) expect(fleet.asked(feed, since) / 50).toBeWithin(least, 1.2);
    }
  },
);

test("all relays get each version in time while varying ones of three are cut off", async () => {
  await using fleet = new FleetUnderTest([INTERVAL_MS, INTERVAL_MS, INTERVAL_MS]);
  await fleet.clock.advance(5 * INTERVAL_MS);
  for (let round = 0; round < 30; round++) {
    const cutOff = new Set([round % 3, (round >> 2) % 3]);
    for (const [at, relay] of fleet.relays.entries()) relay.isCutOff = cutOff.has(at);
    fleet.upstream.lcut++;
    await fleet.clock.advance((1.5 + cutOff.size) * INTERVAL_MS);
    for (const feed of FEEDS) expect(new Set(fleet.lcuts(feed))).toEqual(new Set([fleet.upstream.lcut]));
  }
});

test("a relay that is cut off leaves the requests to the others", async () => {
  await using fleet = new FleetUnderTest([INTERVAL_MS, INTERVAL_MS, INTERVAL_MS]);
  await fleet.clock.advance(5 * INTERVAL_MS);
  const [cutOff] = fleet.relays;
  if (cutOff === undefined) throw new Error("no relay");
  cutOff.isCutOff = true;
  await fleet.clock.advance(50 * INTERVAL_MS);
  for (const feed of FEEDS) expect(cutOff.source.count(feed)).toBeLessThan(8);
});

test("an unreachable upstream gets no more requests than a reachable one", async () => {
  await using fleet = new FleetUnderTest(Array(5).fill(INTERVAL_MS));
  await fleet.clock.advance(5 * INTERVAL_MS);
  for (const relay of fleet.relays) relay.isCutOff = true;
  const since = fleet.clock.now();
  await fleet.clock.advance(50 * INTERVAL_MS);
  for (const feed of FEEDS) {
    const tried = fleet.relays
      .flatMap(({ source }) => source.timesAsked(feed))
      .filter((at) => at > since).length;
    expect(tried / 50).toBeWithin(0.7, 1.2);
  }
});

test("a cold start of many relays with a slow upstream costs one request, and all get its result", async () => {
  await using fleet = new FleetUnderTest(Array(50).fill(INTERVAL_MS));
  fleet.upstream.latencyMs = 8_000;
  await fleet.clock.advance(8_500);
  for (const feed of FEEDS) {
    expect(fleet.asked(feed, 0)).toBe(1);
    expect(new Set(fleet.lcuts(feed))).toEqual(new Set([1]));
  }
});

test("all relays together send one request per interval for a feed that upstream does not have or rejects", async () => {
  await using fleet = new FleetUnderTest(Array(10).fill(INTERVAL_MS));
  for (const { source } of fleet.relays) {
    for (const [at, feed] of FEEDS.entries()) source.answer(feed, at === 0 ? failed("status") : unauthorized);
  }
  await fleet.clock.advance(3 * INTERVAL_MS);
  const since = fleet.clock.now();
  await fleet.clock.advance(20 * INTERVAL_MS);
  for (const feed of FEEDS) {
    const tried = fleet.relays
      .flatMap(({ source }) => source.timesAsked(feed))
      .filter((at) => at > since).length;
    expect(tried / 20).toBeWithin(0.8, 1.2);
  }
});

test("all relays soon know that upstream revoked a key, without more requests than before", async () => {
  const [revoked = feedOf("secret-a")] = FEEDS;
  await using fleet = new FleetUnderTest(Array(10).fill(INTERVAL_MS));
  await fleet.clock.advance(5 * INTERVAL_MS);
  for (const { source } of fleet.relays) source.answer(revoked, unauthorized);
  const since = fleet.clock.now();
  await fleet.clock.advance(2.5 * INTERVAL_MS);
  for (const { store } of fleet.relays) expect(store.peek(revoked)?.isRevoked).toBe(true);
  await fleet.clock.advance(17.5 * INTERVAL_MS);
  const asked = fleet.relays.flatMap(({ source }) => source.timesAsked(revoked)).filter((at) => at > since);
  expect(asked.length / 20).toBeWithin(0.8, 1.2);
  // Once it is valid again, all relays soon have it.
  fleet.upstream.lcut++;
  for (const relay of fleet.relays) relay.answer(revoked);
  await fleet.clock.advance(2.5 * INTERVAL_MS);
  for (const { store } of fleet.relays) expect(store.peek(revoked)?.isRevoked).toBe(false);
  expect(new Set(fleet.lcuts(revoked))).toEqual(new Set([fleet.upstream.lcut]));
});

test("with --clear-datastore-on-unauthorized each relay soon asks upstream itself, and drops the key", async () => {
  const [revoked = feedOf("secret-a")] = FEEDS;
  await using fleet = new FleetUnderTest(Array(10).fill(INTERVAL_MS), { clearOnUnauthorized: true });
  await fleet.clock.advance(5 * INTERVAL_MS);
  for (const { source } of fleet.relays) source.answer(revoked, unauthorized);
  const since = fleet.clock.now();
  await fleet.clock.advance(2.5 * INTERVAL_MS);
  for (const { store } of fleet.relays) expect(store.peek(revoked)).toBeUndefined();
  await fleet.clock.advance(17.5 * INTERVAL_MS);
  const asked = fleet.relays.flatMap(({ source }) => source.timesAsked(revoked)).filter((at) => at > since);
  expect(asked.length).toBeWithin(10 + 0.8 * 17, 10 + 1.2 * 20);
});

test("a backup that rejects writes does not keep updates from the other relays", async () => {
  for (const count of [3, 10, 30]) {
    await using fleet = new FleetUnderTest(Array(count).fill(INTERVAL_MS));
    await fleet.clock.advance(5 * INTERVAL_MS);
    fleet.backupTakesWrites = false;
    fleet.upstream.lcut++;
    await fleet.clock.advance(2 * INTERVAL_MS);
    for (const relay of fleet.relays) {
      for (const feed of FEEDS) expect(relay.store.peek(feed)?.snapshot.lcut).toBe(fleet.upstream.lcut);
    }
  }
});

test("relays rely on the confirmation of another one, however slow upstream is", async () => {
  await using fleet = new FleetUnderTest(Array(10).fill(INTERVAL_MS));
  await fleet.clock.advance(3 * INTERVAL_MS);
  for (const [latencyMs, intervals] of [
    [500, 1.3],
    [12_000, 5],
  ] as const) {
    fleet.upstream.latencyMs = latencyMs;
    await fleet.clock.advance(5 * INTERVAL_MS);
    for (let step = 0; step < 400; step++) {
      await fleet.clock.advance(INTERVAL_MS / 20);
      const ages = fleet.relays.flatMap(({ store }) =>
        FEEDS.map((feed) => store.peek(feed)?.confirmedAgoMs(fleet.clock)),
      );
      expect(Math.max(...ages.map((age) => age ?? Number.POSITIVE_INFINITY))).toBeLessThan(
        intervals * INTERVAL_MS,
      );
    }
  }
});

test("each relay looks once per feed and interval, and a few times if upstream does not respond", async () => {
  await using fleet = new FleetUnderTest(Array(20).fill(INTERVAL_MS));
  await fleet.clock.advance(3 * INTERVAL_MS);
  for (const [isCutOff, most] of [
    [false, 1.3],
    [true, 4.5],
  ] as const) {
    for (const relay of fleet.relays) relay.isCutOff = isCutOff;
    await fleet.clock.advance(3 * INTERVAL_MS);
    const before = fleet.channel.looks;
    await fleet.clock.advance(20 * INTERVAL_MS);
    expect((fleet.channel.looks - before) / (20 * 20 * FEEDS.length)).toBeLessThan(most);
  }
});

test("a shorter interval applies at once to relays that follow", async () => {
  const HOUR_MS = 3_600_000;
  await using fleet = new FleetUnderTest([HOUR_MS, HOUR_MS]);
  await fleet.clock.advance(1.5 * HOUR_MS);
  for (const relay of fleet.relays) relay.pollEvery(INTERVAL_MS);
  const [first] = fleet.relays;
  await first?.[Symbol.asyncDispose]();
  fleet.relays.shift();
  fleet.upstream.lcut++;
  await fleet.clock.advance(3 * INTERVAL_MS);
  for (const feed of FEEDS) expect(new Set(fleet.lcuts(feed))).toEqual(new Set([fleet.upstream.lcut]));
});

test("a key that is evicted while the fleet is asked does not come back", async () => {
  const [a = feedOf("secret-a"), b = feedOf("secret-b")] = FEEDS;
  const { clock, upstream, channel, entries } = new FleetUnderTest([]);
  await using relay = new SimulatedRelay(clock, upstream, channel, entries, {
    intervalMs: INTERVAL_MS,
    feeds: FEEDS,
    preload: [],
    maxKeys: 1,
  });
  const first = relay.cacheMiss(a);
  await clock.advance(10);
  await first;
  channel.latencyMs = 500;
  await clock.advance(0.9 * INTERVAL_MS);
  while (channel.looking === 0) await clock.advance(100);
  channel.latencyMs = 0;
  const second = relay.cacheMiss(b);
  await clock.advance(10);
  await second;
  await clock.advance(2_000);
  expect([...relay.store.held()].map(({ feed }) => feed)).toEqual([b]);
});

const step = fc.oneof(
  fc.record({ kind: fc.constant("publish" as const) }),
  fc.record({ kind: fc.constant("cut" as const), relay: fc.nat(3), isCutOff: fc.boolean() }),
  fc.record({
    kind: fc.constant("kill" as const),
    relay: fc.nat(3),
    intervalMs: fc.constantFrom(5_000, 10_000, 60_000),
  }),
  fc.record({ kind: fc.constant("channel" as const), works: fc.boolean() }),
  fc.record({ kind: fc.constant("slow" as const), latencyMs: fc.constantFrom(0, 500, 12_000) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
);

test("no version ever goes back, and all relays have the newest once all faults are over", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      await using fleet = new FleetUnderTest([5_000, 10_000, 10_000, 60_000]);
      const newest = new Map<SimulatedRelay | string, number>();
      const check = () => {
        for (const feed of FEEDS) {
          for (const relay of fleet.relays) {
            const lcut = relay.store.peek(feed)?.snapshot.lcut ?? 0;
            expect(lcut).toBeGreaterThanOrEqual(newest.get(relay) ?? 0);
          }
          const kept = fleet.entries.get(feedId(feed))?.lcut ?? 0;
          expect(kept).toBeGreaterThanOrEqual(newest.get(feedId(feed)) ?? 0);
          newest.set(feedId(feed), kept);
        }
        for (const relay of fleet.relays) {
          newest.set(relay, Math.min(...FEEDS.map((feed) => relay.store.peek(feed)?.snapshot.lcut ?? 0)));
        }
      };
      for (const each of steps) {
        if (each.kind === "publish") fleet.upstream.lcut++;
        if (each.kind === "cut") Object.assign(fleet.relays[each.relay] ?? {}, { isCutOff: each.isCutOff });
        if (each.kind === "kill") await fleet.replace(each.relay, each.intervalMs);
        if (each.kind === "channel") fleet.channel.works = each.works;
        if (each.kind === "slow") fleet.upstream.latencyMs = each.latencyMs;
        await fleet.clock.advance(each.kind === "wait" ? each.ms : 10);
        check();
      }
      for (const relay of fleet.relays) relay.isCutOff = false;
      fleet.channel.works = true;
      fleet.upstream.latencyMs = 0;
      fleet.upstream.lcut++;
      // The slowest relay, whose announcement may have been lost, looks once a minute.
      await fleet.clock.advance(75_000);
      check();
      for (const feed of FEEDS) expect(new Set(fleet.lcuts(feed))).toEqual(new Set([fleet.upstream.lcut]));
    }),
    { numRuns: 60 },
  );
}, 120_000);
