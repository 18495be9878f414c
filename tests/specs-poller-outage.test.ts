import { describe, expect, test } from "bun:test";
import { settle } from "./support/fake-clock.ts";
import { failed, unauthorized, version } from "./support/scripted-source.ts";
import { feedOf } from "./support/snapshots.ts";
import { POLL_INTERVAL_MS, specFlow } from "./support/spec-flow.ts";

const a = feedOf("secret-a");
const b = feedOf("secret-b");
const feeds = ["secret-a", "secret-b", "secret-c", "secret-d"].map((key) => feedOf(key));
const MINUTE_MS = 60_000;

/** What `times` are apart, each less at most a tenth for jitter. */
const expectGaps = (times: readonly number[], expected: readonly number[]): void => {
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  expect(gaps.length).toBeGreaterThanOrEqual(expected.length);
  for (const [index, ms] of expected.entries()) {
    expect(gaps[index]).toBeGreaterThanOrEqual(0.9 * ms);
    expect(gaps[index]).toBeLessThanOrEqual(ms);
  }
};

describe("a feed that fails", () => {
  test.each([
    ["a status", failed("status")],
    ["a timeout", failed("timeout")],
    ["a broken answer", failed("broken")],
    ["401", unauthorized],
  ])(
    "by %s is asked half as often each time, at least once a minute, and as before once it is well",
    async (_, outcome) => {
      await using flow = specFlow();
      await flow.firstSight(a);
      flow.source.answer(a, outcome);
      await flow.clock.advance(10 * MINUTE_MS);
      expectGaps(flow.source.timesAsked(a), [10_000, 10_000, 20_000, 40_000, ...Array(7).fill(MINUTE_MS)]);
      flow.source.answer(a, { kind: "no_update" });
      await flow.clock.advance(MINUTE_MS);
      const wellFrom = flow.source.timesAsked(a).length - 1;
      await flow.clock.advance(MINUTE_MS);
      expectGaps(flow.source.timesAsked(a).slice(wellFrom), Array(5).fill(POLL_INTERVAL_MS));
    },
  );

  test("does not slow down another", async () => {
    await using flow = specFlow();
    for (const feed of [a, b]) await flow.firstSight(feed);
    flow.source.answer(a, failed("status"));
    await flow.clock.advance(10 * MINUTE_MS);
    expectGaps(flow.source.timesAsked(b), Array(60).fill(POLL_INTERVAL_MS));
  });
});

describe("Retry-After", () => {
  test.each([
    [45_000, 45_000],
    [60_000, 60_000],
    [86_400_000, 60_000],
    [Number.POSITIVE_INFINITY, 60_000],
  ])("of %d ms is honoured: the next request comes after %d ms", async (retryAfterMs, expectedMs) => {
    await using flow = specFlow();
    await flow.firstSight(a);
    flow.source.answer(a, failed("status", retryAfterMs));
    await flow.clock.advance(2 * MINUTE_MS);
    const [, first = 0, second = 0] = flow.source.timesAsked(a);
    expect(second - first).toBe(expectedMs);
  });

  test("shorter than the interval changes nothing", async () => {
    await using flow = specFlow();
    await flow.firstSight(a);
    flow.source.answer(a, failed("status", 1_000));
    await flow.clock.advance(MINUTE_MS);
    expectGaps(flow.source.timesAsked(a), [10_000, 10_000, 20_000]);
  });

  test("is honoured also when another feed gets through to upstream", async () => {
    await using flow = specFlow();
    await flow.firstSight(a);
    flow.source.answer(a, failed("status", MINUTE_MS));
    await flow.clock.advance(MINUTE_MS + POLL_INTERVAL_MS + 1_000);
    const asked = flow.source.count(a);
    await flow.firstSight(b);
    flow.source.answer(b, failed("unreachable"));
    await flow.clock.advance(POLL_INTERVAL_MS);
    flow.source.answer(b, { kind: "no_update" });
    await flow.clock.advance(POLL_INTERVAL_MS);
    expect(flow.source.count(a)).toBe(asked);
  });
});

describe("while upstream can't be reached", () => {
  async function outage(minutes: number, maxKeys = 100) {
    const flow = specFlow({ maxKeys });
    for (const feed of feeds.slice(0, maxKeys)) await flow.firstSight(feed);
    flow.source.otherwise = () => failed("unreachable");
    await flow.clock.advance(minutes * MINUTE_MS);
    const since = flow.clock.now();
    await flow.clock.advance(2 * MINUTE_MS);
    const polls = feeds
      .slice(0, maxKeys)
      .map((feed) => ({ feed, times: flow.source.timesAsked(feed).filter((time) => time > since) }))
      .sort((one, other) => other.times.length - one.times.length);
    const [scout, ...others] = polls;
    if (scout === undefined) throw new Error("nothing is polled");
    return { flow, scout, others };
  }

  test("one feed is polled at each interval, the others once a minute", async () => {
    const { flow, scout, others } = await outage(5);
    await using _ = flow;
    expectGaps(scout.times, Array(11).fill(POLL_INTERVAL_MS));
    for (const { times } of others) expect(times.length).toBeLessThanOrEqual(3);
    for (const feed of feeds) expect(flow.store.peek(feed)?.snapshot.lcut).toBe(1);
  });

  test.each([
    ["has no update", { kind: "no_update" } as const],
    ["answers no better than 503", failed("status")],
  ])("and as soon as that one gets through all are asked: upstream %s", async (_, outcome) => {
    const { flow, scout } = await outage(5);
    await using __ = flow;
    const recoveredAt = flow.clock.now();
    flow.source.otherwise = () => outcome;
    await flow.clock.advance(POLL_INTERVAL_MS);
    const firstAfter = feeds.map((feed) => flow.source.timesAsked(feed).find((time) => time > recoveredAt));
    const scoutGotThroughAt = flow.source.timesAsked(scout.feed).find((time) => time > recoveredAt);
    expect(firstAfter).not.toContain(undefined);
    expect(Math.max(...firstAfter.map((time) => time ?? 0))).toBe(scoutGotThroughAt ?? 0);
  });

  test("the next outage finds a scout again", async () => {
    const { flow } = await outage(5);
    await using _ = flow;
    flow.source.otherwise = () => ({ kind: "no_update" });
    await flow.clock.advance(MINUTE_MS);
    flow.source.otherwise = () => failed("unreachable");
    await flow.clock.advance(5 * MINUTE_MS);
    const since = flow.clock.now();
    await flow.clock.advance(MINUTE_MS);
    const counts = feeds.map((feed) => flow.source.timesAsked(feed).filter((time) => time > since).length);
    expect(counts.filter((count) => count >= 5)).toHaveLength(1);
  });

  test("and the scout's key makes room, another feed takes its place", async () => {
    const { flow, scout, others } = await outage(5, 2);
    await using _ = flow;
    const [other] = others;
    if (other === undefined) throw new Error("only one feed is held");
    const polled = flow.source.count(other.feed);
    while (flow.source.count(other.feed) === polled) await flow.clock.advance(1_000);
    flow.store.find(other.feed.sdkKey, other.feed.version, other.feed.format);
    flow.source.answer(feedOf("secret-new"), version(1));
    await flow.firstSight(feedOf("secret-new"));
    await settle();
    expect(flow.store.peek(scout.feed)).toBeUndefined();
    const before = flow.source.count(other.feed);
    await flow.clock.advance(POLL_INTERVAL_MS + 1_000);
    expect(flow.source.count(other.feed)).toBeGreaterThan(before);
  });
});
