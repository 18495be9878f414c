import { describe, expect, test } from "bun:test";
import { failed, unauthorized, version } from "../support/specs/scripted-source.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { POLL_INTERVAL_MS, specFlow } from "../support/specs/spec-flow.ts";

const a = feedOf("secret-a");
const feeds = ["secret-a", "secret-b", "secret-c", "secret-d"].map((key) => feedOf(key));
const MINUTE_MS = 60_000;

/** The gaps between `times`, each up to a tenth shorter because of jitter. */
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
    ["no connection", failed("unreachable")],
    ["401", unauthorized],
  ])(
    "with %s is requested once per interval, and is up to date within one interval after recovery",
    async (_, outcome) => {
      await using flow = specFlow();
      for (const feed of feeds) await flow.cacheMiss(feed);
      for (const feed of feeds) flow.source.answer(feed, outcome);
      await flow.clock.advance(10 * MINUTE_MS);
      for (const feed of feeds) expectGaps(flow.source.timesAsked(feed), Array(60).fill(POLL_INTERVAL_MS));
      for (const feed of feeds) flow.source.answer(feed, version(2));
      await flow.clock.advance(POLL_INTERVAL_MS);
      for (const feed of feeds) expect(flow.store.peek(feed)?.snapshot.lcut).toBe(2);
    },
  );

  test("is not polled in step with others, so that upstream does not get all requests at once when it is back", async () => {
    await using flow = specFlow();
    const many = Array.from({ length: 100 }, (_, at) => feedOf(`secret-${at}`));
    for (const feed of many) await flow.cacheMiss(feed);
    flow.source.otherwise = () => failed("unreachable");
    await flow.clock.advance(20 * MINUTE_MS);
    const since = flow.clock.now();
    flow.source.otherwise = () => version(2);
    await flow.clock.advance(POLL_INTERVAL_MS);
    const times = many.map((feed) => flow.source.timesAsked(feed).find((time) => time > since) ?? Number.NaN);
    for (let start = 0; start < POLL_INTERVAL_MS; start += 1_000) {
      const inThisSecond = times.filter((time) => time - since > start && time - since <= start + 1_000);
      expect(inThisSecond.length).toBeLessThan(40);
    }
  });

  test("and was never cached, unlike another feed of its key, is requested less often, at least once a minute", async () => {
    const proto = feedOf("secret-a", "v2", "proto");
    await using flow = specFlow({ preload: [a, proto] });
    flow.source.answer(proto, failed("status"));
    flow.poller.start();
    await flow.clock.advance(30 * MINUTE_MS);
    expect(flow.source.count(proto)).toBeWithin(30, 45);
    flow.source.answer(proto, version(1));
    await flow.clock.advance(MINUTE_MS);
    expect(flow.store.peek(proto)?.snapshot.lcut).toBe(1);
  });
});

describe("Retry-After", () => {
  test.each([
    [45_000, 45_000],
    [60_000, 60_000],
    [86_400_000, 60_000],
    [Number.POSITIVE_INFINITY, 60_000],
  ])(
    "of %d ms is honored: the next request comes after %d ms, or a little later",
    async (retryAfterMs, expectedMs) => {
      await using flow = specFlow();
      await flow.cacheMiss(a);
      flow.source.answer(a, failed("status", retryAfterMs));
      await flow.clock.advance(2 * MINUTE_MS);
      const [, first = 0, second = 0] = flow.source.timesAsked(a);
      // Spread, because it may be the same date for all feeds of all relays.
      expect(second - first).toBeWithin(expectedMs, expectedMs + POLL_INTERVAL_MS / 10 + 1);
    },
  );

  test("that is shorter than the interval changes nothing", async () => {
    await using flow = specFlow();
    await flow.cacheMiss(a);
    flow.source.answer(a, failed("status", 1_000));
    await flow.clock.advance(MINUTE_MS);
    expectGaps(flow.source.timesAsked(a), [10_000, 10_000, 10_000]);
  });
});
