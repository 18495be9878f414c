import { describe, expect, test } from "bun:test";
import type { Feed } from "../../src/specs/feed.ts";
import { settle } from "../support/common/fake-clock.ts";
import { failed, unauthorized, version } from "../support/specs/scripted-source.ts";
import { feedOf, sdkKeyOf, snapshotOf } from "../support/specs/snapshots.ts";
import { POLL_INTERVAL_MS, specFlow } from "../support/specs/spec-flow.ts";

const a = feedOf("secret-a");
const b = feedOf("secret-b");
const c = feedOf("secret-c");

/** Returns the ms from each request to the next. */
const gaps = (times: readonly number[]): readonly number[] =>
  times.slice(1).map((time, index) => time - (times[index] ?? 0));

/** Expects one request per interval, less up to a tenth. */
const expectOnTime = (times: readonly number[], atLeast: number): void => {
  expect(times.length).toBeGreaterThanOrEqual(atLeast);
  for (const gap of gaps(times)) {
    expect(gap).toBeGreaterThanOrEqual(0.9 * POLL_INTERVAL_MS);
    expect(gap).toBeLessThanOrEqual(POLL_INTERVAL_MS);
  }
};

describe("a held feed", () => {
  test("is polled once per interval in its own loop, with its lcut as sinceTime", async () => {
    await using flow = specFlow();
    const feeds = [a, feedOf("secret-a", "v1"), feedOf("secret-a", "v2", "proto"), b, c];
    for (const feed of feeds) await flow.cacheMiss(feed);
    await flow.clock.advance(10 * POLL_INTERVAL_MS);
    for (const feed of feeds) expectOnTime(flow.source.timesAsked(feed), 11);
    expect(flow.source.asked.map(({ sinceTime }) => sinceTime)).toEqual(
      flow.source.asked.map((_, index) => (index < feeds.length ? 0 : 1)),
    );
  });

  test("is polled in time even if another feed's request hangs", async () => {
    await using flow = specFlow();
    for (const feed of [a, b, c]) await flow.cacheMiss(feed);
    const answer = flow.source.hang(a);
    await flow.clock.advance(30 * POLL_INTERVAL_MS);
    expect(flow.source.count(a)).toBe(2);
    for (const feed of [b, c]) expectOnTime(flow.source.timesAsked(feed), 31);
    answer(version(2));
    await flow.clock.advance(POLL_INTERVAL_MS);
    expect(flow.store.peek(a)?.snapshot.lcut).toBe(2);
    expect(flow.source.count(a)).toBe(3);
  });

  test("gets a newer version from a poll, and keeps its version otherwise", async () => {
    await using flow = specFlow();
    await flow.cacheMiss(a);
    for (const [outcome, lcut] of [
      [version(5), 5],
      [version(4), 5],
      [failed("broken"), 5],
      [unauthorized, 5],
      [version(6), 6],
    ] as const) {
      flow.source.answer(a, outcome);
      await flow.clock.advance(6 * POLL_INTERVAL_MS);
      expect(flow.store.peek(a)?.snapshot.lcut).toBe(lcut);
    }
  });
});

describe("polling ends", () => {
  test("for an evicted key, and starts again with it, once per interval", async () => {
    await using flow = specFlow({ maxKeys: 1 });
    await flow.cacheMiss(a);
    await flow.clock.advance(2 * POLL_INTERVAL_MS);
    await flow.cacheMiss(b);
    const polled = flow.source.count(a);
    await flow.clock.advance(5 * POLL_INTERVAL_MS);
    expect([flow.source.count(a), flow.clock.sleeping]).toEqual([polled, 1]);
    await flow.cacheMiss(a);
    await flow.clock.advance(5 * POLL_INTERVAL_MS);
    expectOnTime(flow.source.timesAsked(a).slice(polled), 6);
    expect(flow.clock.sleeping).toBe(1);
  });

  test("for a key that upstream rejects, if that clears it", async () => {
    await using flow = specFlow({ clearOnUnauthorized: true });
    await flow.cacheMiss(a);
    flow.source.answer(a, unauthorized);
    await flow.clock.advance(10 * POLL_INTERVAL_MS);
    expect([flow.source.count(a), flow.clock.sleeping, flow.store.keyCount]).toEqual([2, 0, 0]);
  });

  test("for a key that is evicted while its poll is in flight, which does not bring it back", async () => {
    await using flow = specFlow({ maxKeys: 1 });
    await flow.cacheMiss(a);
    const answer = flow.source.hang(a);
    await flow.clock.advance(POLL_INTERVAL_MS);
    await flow.cacheMiss(b);
    answer(version(2));
    await settle();
    expect([...flow.store.held()].map(({ feed }) => feed)).toEqual([b]);
  });

  test("for all feeds with disposal, whether they sleep, back off or are in flight", async () => {
    const flow = specFlow({ preload: [c] });
    for (const feed of [a, b]) await flow.cacheMiss(feed);
    flow.source.answer(c, failed("unreachable"));
    const answer = flow.source.hang(b);
    flow.poller.start();
    await flow.clock.advance(10 * POLL_INTERVAL_MS);
    await flow.poller[Symbol.asyncDispose]();
    await settle();
    const asked = flow.source.asked.length;
    answer(version(2));
    await flow.clock.advance(10 * POLL_INTERVAL_MS);
    expect([flow.clock.sleeping, flow.source.asked.length]).toEqual([0, asked]);
  });

  test("also for a feed that is cached after disposal", async () => {
    const flow = specFlow();
    await flow.poller[Symbol.asyncDispose]();
    flow.store.publish(snapshotOf(a, 1));
    await settle();
    expect(flow.clock.sleeping).toBe(0);
  });
});

describe("a preloaded feed", () => {
  const preloaded = (feed: Feed) => ({ preload: [feed], preloaded: [sdkKeyOf(feed.sdkKey)] });

  test("is fetched at the start and polled from then on", async () => {
    await using flow = specFlow(preloaded(a));
    await flow.clock.advance(POLL_INTERVAL_MS);
    expect(flow.source.asked).toHaveLength(0);
    flow.poller.start();
    await flow.clock.advance(0);
    expect(flow.store.peek(a)?.snapshot.lcut).toBe(1);
    await flow.clock.advance(10 * POLL_INTERVAL_MS);
    expectOnTime(flow.source.timesAsked(a), 11);
  });

  test("is requested until it is cached, and polled once per interval after that", async () => {
    await using flow = specFlow(preloaded(a));
    flow.source.answer(a, failed("status"));
    flow.poller.start();
    await flow.clock.advance(20 * POLL_INTERVAL_MS);
    flow.source.answer(a, version(1));
    await flow.clock.advance(60_000);
    expect(flow.store.peek(a)?.snapshot.lcut).toBe(1);
    const before = flow.source.count(a);
    await flow.clock.advance(10 * POLL_INTERVAL_MS);
    expectOnTime(flow.source.timesAsked(a).slice(before), 9);
  });

  test("is polled once per interval as soon as a client's cache miss caches it", async () => {
    await using flow = specFlow(preloaded(a));
    flow.source.answer(a, failed("status"));
    flow.poller.start();
    await flow.clock.advance(20 * POLL_INTERVAL_MS);
    flow.source.answer(a, version(1));
    await flow.cacheMiss(a);
    const before = flow.source.count(a);
    await flow.clock.advance(10 * POLL_INTERVAL_MS);
    expectOnTime(flow.source.timesAsked(a).slice(before), 10);
    expect(flow.clock.sleeping).toBe(1);
  });

  test("is requested again after it was cleared", async () => {
    await using flow = specFlow({ ...preloaded(a), clearOnUnauthorized: true });
    flow.poller.start();
    await flow.clock.advance(0);
    flow.source.answer(a, unauthorized);
    await flow.clock.advance(2 * POLL_INTERVAL_MS);
    expect(flow.store.peek(a)).toBeUndefined();
    flow.source.answer(a, version(2));
    await flow.clock.advance(60_000);
    expect(flow.store.peek(a)?.snapshot.lcut).toBe(2);
  });
});
