import { describe, expect, test } from "bun:test";
import type { Feed } from "../../src/specs/feed.ts";
import type { FetchOutcome } from "../../src/specs/source.ts";
import { settle } from "../support/common/fake-clock.ts";
import { failed, version } from "../support/specs/scripted-source.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { POLL_INTERVAL_MS, type SpecFlowOptions, specFlow } from "../support/specs/spec-flow.ts";

const feedsOf = (name: string, count: number) =>
  Array.from({ length: count }, (_, at) => feedOf(`secret-${name}-${at}`));

/** Time limit of a request without a byte, as upstream's. */
const HANGS_MS = 10_000;

function slowFlow(options: SpecFlowOptions = {}) {
  const flow = specFlow({ maxKeys: 1_000, ...options });
  const { clock, source } = flow;
  return {
    ...flow,
    /** Makes upstream accept the feeds' requests and never respond. */
    hang(feeds: readonly Feed[]) {
      for (const feed of feeds) {
        source.answer(feed, async (_, signal): Promise<FetchOutcome> => {
          await clock.sleep(HANGS_MS, signal);
          return failed("timeout");
        });
      }
    },
    /** Makes each of their requests take this long, with steady progress. */
    drip(feeds: readonly Feed[], forMs: number) {
      for (const feed of feeds) {
        source.answer(feed, async (sinceTime, signal, progressed): Promise<FetchOutcome> => {
          for (let ms = 0; ms < forMs; ms += 500) {
            await clock.sleep(500, signal);
            progressed();
          }
          return sinceTime > 0 ? { kind: "no_update" } : version(1);
        });
      }
    },
    /** The longest time between two polls of a feed since `fromMs`. */
    longestGapMs: (feed: Feed, fromMs: number) => {
      const times = [...source.timesAsked(feed).filter((at) => at >= fromMs), clock.now()];
      return Math.max(...times.map((at, index) => at - (times[index - 1] ?? fromMs)));
    },
    [Symbol.asyncDispose]: () => flow[Symbol.asyncDispose](),
  };
}

describe("70 keys that hang, with 64 slots", () => {
  test("delay no poll of 30 others by more than a second or two, and no cache miss", async () => {
    const [working, hanging] = [feedsOf("works", 30), feedsOf("hangs", 70)];
    await using flow = slowFlow();
    await Promise.all([...hanging, ...working].map((feed) => flow.cacheMiss(feed)));
    flow.hang(hanging);
    const from = flow.clock.now();
    for (let minute = 0; minute < 5; minute++) {
      await flow.clock.advance(60_000);
      const fresh = feedOf(`secret-fresh-${minute}`);
      expect((await flow.cacheMiss(fresh)).kind).toBe("fresh");
    }
    for (const feed of working) {
      expect(flow.longestGapMs(feed, from)).toBeLessThanOrEqual(POLL_INTERVAL_MS + 2_000);
    }
    expect(flow.source.mostInFlight).toBeLessThanOrEqual(128);
    // They are still requested, to notice when they recover.
    for (const feed of hanging)
      expect(flow.source.timesAsked(feed).filter((at) => at > from).length).toBeGreaterThan(3);
  });

  test("that hang from the start delay no cache miss by more than a second or two", async () => {
    const [working, hanging] = [feedsOf("works", 30), feedsOf("hangs", 70)];
    await using flow = slowFlow();
    flow.hang(hanging);
    for (const feed of hanging) void flow.cacheMiss(feed);
    const firsts = Promise.all(working.map((feed) => flow.cacheMiss(feed)));
    await flow.clock.advance(2_000);
    expect(new Set((await firsts).map(({ kind }) => kind))).toEqual(new Set(["fresh"]));
  });

  test("are polled as before within an interval after they recover", async () => {
    const hanging = feedsOf("hangs", 70);
    await using flow = slowFlow();
    await Promise.all(hanging.map((feed) => flow.cacheMiss(feed)));
    flow.hang(hanging);
    await flow.clock.advance(60_000);
    for (const feed of hanging) flow.source.answer(feed, version(2));
    await flow.clock.advance(2 * HANGS_MS + 60_000);
    for (const feed of hanging) expect(flow.store.peek(feed)?.snapshot.lcut).toBe(2);
  });
});

test.each([1, 2, 3, 8])("with -u %d too, hanging keys do not delay the others", async (maxInFlight) => {
  const [working, hanging] = [feedsOf("works", 3), feedsOf("hangs", 20)];
  await using flow = slowFlow({ maxInFlight });
  await Promise.all([...hanging, ...working].map((feed) => flow.cacheMiss(feed)));
  flow.hang(hanging);
  // Until the suspects are known.
  await flow.clock.advance(300_000);
  const from = flow.clock.now();
  await flow.clock.advance(120_000);
  for (const feed of working) {
    expect(flow.longestGapMs(feed, from)).toBeLessThanOrEqual(POLL_INTERVAL_MS + 1_000);
  }
  expect(flow.source.mostInFlight).toBeLessThanOrEqual(2 * maxInFlight);
});

test("at most -u requests make progress at the same time, and polls leave a quarter to cache misses", async () => {
  const [slow, waiting] = [feedsOf("slow", 40), feedsOf("waits", 2)];
  await using flow = slowFlow({ maxInFlight: 8 });
  flow.drip(slow, 20_000);
  for (const feed of slow) void flow.poll(feed);
  await flow.clock.advance(5_000);
  expect(flow.source.asked).toHaveLength(6);
  flow.drip(waiting, 20_000);
  for (const feed of waiting) void flow.cacheMiss(feed);
  await settle();
  expect(flow.source.asked).toHaveLength(8);
  void flow.cacheMiss(feedOf("secret-too-many"));
  await flow.clock.advance(5_000);
  expect(flow.source.mostInFlight).toBe(8);
});

test("cache misses leave a quarter to polls, however many hang", async () => {
  const polled = feedOf("secret-polled");
  const hanging = feedsOf("hangs", 300);
  await using flow = slowFlow({ maxInFlight: 16 });
  await flow.cacheMiss(polled);
  flow.hang(hanging);
  for (const feed of hanging) void flow.cacheMiss(feed);
  const from = flow.clock.now();
  await flow.clock.advance(120_000);
  expect(flow.longestGapMs(polled, from)).toBeLessThanOrEqual(POLL_INTERVAL_MS + 1_000);
});

test("a feed with late responses is not a suspect: it shares all slots", async () => {
  const feeds = feedsOf("late", 200);
  await using flow = slowFlow();
  flow.source.otherwise = async (_, signal, progressed) => {
    await flow.clock.sleep(3_000, signal);
    progressed();
    return version(1);
  };
  const all = Promise.all(feeds.map((feed) => flow.cacheMiss(feed)));
  await flow.clock.advance(12_000);
  expect(new Set((await all).map(({ kind }) => kind))).toEqual(new Set(["fresh"]));
});

describe("polls that wait longer than the interval", () => {
  const kinds = (flow: ReturnType<typeof slowFlow>) =>
    flow.events.map(({ kind }) => kind).filter((kind) => kind.startsWith("spec_polls"));

  test("repeatedly are reported, until they start in time again", async () => {
    const feeds = feedsOf("slow", 40);
    await using flow = slowFlow({ maxInFlight: 3 });
    await Promise.all(feeds.map((feed) => flow.cacheMiss(feed)));
    flow.drip(feeds, 2_000);
    await flow.clock.advance(120_000);
    expect(flow.events.findLast(({ kind }) => kind === "spec_polls_delayed")).toMatchObject({
      intervalMs: POLL_INTERVAL_MS,
      waitedMs: expect.any(Number),
    });
    for (const feed of feeds) flow.source.answer(feed, { kind: "no_update" });
    await flow.clock.advance(60_000);
    expect(kinds(flow).at(-1)).toBe("spec_polls_on_time");
    expect(kinds(flow).filter((kind) => kind === "spec_polls_on_time")).toHaveLength(1);
  });

  test("once, as after a burst, are not reported", async () => {
    const feeds = feedsOf("slow", 40);
    await using flow = slowFlow({ maxInFlight: 3 });
    await Promise.all(feeds.map((feed) => flow.cacheMiss(feed)));
    flow.drip(feeds, 2_000);
    await flow.clock.advance(35_000);
    for (const feed of feeds) flow.source.answer(feed, { kind: "no_update" });
    await flow.clock.advance(120_000);
    const waits = flow.events.map((event) => (event.kind === "spec_poll_began" ? event.waitedMs : 0));
    expect(Math.max(...waits)).toBeGreaterThan(POLL_INTERVAL_MS);
    expect(kinds(flow)).toEqual([]);
  });

  test("are reported also if each request lasts for several intervals", async () => {
    const feeds = feedsOf("slow", 3);
    await using flow = slowFlow({ maxInFlight: 1 });
    await Promise.all(feeds.map((feed) => flow.cacheMiss(feed)));
    flow.drip(feeds, 45_000);
    await flow.clock.advance(300_000);
    expect(kinds(flow)).toContain("spec_polls_delayed");
  });

  test("because they hung before are not reported: a larger -u would not help", async () => {
    const feeds = feedsOf("hangs", 100);
    await using flow = slowFlow({ maxInFlight: 4 });
    await Promise.all(feeds.map((feed) => flow.cacheMiss(feed)));
    flow.hang(feeds);
    await flow.clock.advance(1_200_000);
    const from = flow.events.length;
    await flow.clock.advance(300_000);
    expect(flow.events.slice(from).filter(({ kind }) => kind === "spec_polls_delayed")).toEqual([]);
  });
});

test("Retry-After is passed on to the caller, up to a minute", async () => {
  await using flow = slowFlow();
  const feed = feedOf("secret-throttled");
  for (const [named, waited] of [
    [7_000, 7_000],
    [0, 0],
    [86_400_000, 60_000],
  ] as const) {
    flow.source.answer(feed, failed("status", named));
    expect(await flow.cacheMiss(feed)).toMatchObject({ kind: "failed", retryAfterMs: waited });
  }
});
