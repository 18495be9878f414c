import { expect, test } from "bun:test";
import fc from "fast-check";
import type { SdkKey } from "../../src/access/sdk-key.ts";
import { OpenStreams } from "../../src/control/open-streams.ts";
import type { RpcEvent } from "../../src/grpc/events.ts";
import type { Feed } from "../../src/specs/feed.ts";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";
import { KeyTags } from "../../src/telemetry/metrics/tags.ts";
import { createTelemetry } from "../../src/telemetry/telemetry.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const FEEDS = ["secret-one-0123456789", "secret-two-0123456789"].map((key) => feedOf(key));

/** Telemetry that receives the events of threads, and what it shows of streams. */
function startTelemetry() {
  const registry = new MetricRegistry({ maxSeries: 1_000, keepsSamples: false });
  const logger = { log: () => {} };
  const clock = new FakeClock();
  const telemetry = createTelemetry({
    ...{ logger, registry, keys: new KeyTags(), clock, preload: [] },
  });
  const emitted: RpcEvent[] = [];
  const streams = new OpenStreams((event) => {
    emitted.push(event);
    telemetry.rpc.emit(event);
  });
  const open = async () => {
    const gauges = await Array.fromAsync(registry.readGauges());
    const found = gauges.find(({ row }) => row.name === "GrpcEstimatedActiveStreams");
    return (found?.readings ?? []).map(([, value]) => value);
  };
  const count = (name: string) =>
    [...registry.families()]
      .filter(({ row }) => row.name === name)
      .flatMap((family) => [...family.all()])
      .reduce((sum, series) => sum + series.count, 0);
  return { streams, emitted, open, count, clock, removed: (key: SdkKey) => telemetry.rpc.keyRemoved(key) };
}

const actions = fc.record({
  thread: fc.nat(2),
  feed: fc.constantFrom(...FEEDS),
  count: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
  what: fc.constantFrom("open", "open", "close", "die"),
});

test("for any events of three threads that may die and be replaced, no stream stays open in the metrics", async () => {
  const property = fc.asyncProperty(fc.array(actions, { maxLength: 200 }), async (all) => {
    const { streams, open, count } = startTelemetry();
    const threads: object[] = [{}, {}, {}];
    /** The streams of each feed, per thread. */
    const expected = new Map<object, Map<object, number>>();
    const sum = () => [...expected.values()].flatMap((each) => [...each.values()]).reduce((a, b) => a + b, 0);
    for (const { thread: at, feed, count: counted, what } of all) {
      const thread = threads[at] as object;
      const ofThread = expected.get(thread) ?? new Map<object, number>();
      expected.set(thread, ofThread);
      const now = ofThread.get(feed) ?? 0;
      const repeated = counted === undefined ? {} : { count: counted };
      if (what === "die") {
        streams.closeAll(thread);
        expected.delete(thread);
        // What the thread sent before it died may still arrive.
        streams.record(thread, { kind: "stream_opened", feed, openStreams: 1 });
        threads[at] = {};
      } else if (what === "open") {
        streams.record(thread, { kind: "stream_opened", feed, openStreams: 1, ...repeated });
        ofThread.set(feed, now + (counted ?? 1));
      } else if (now >= (counted ?? 1)) {
        streams.record(thread, { kind: "stream_closed", feed, openStreams: 0, ...repeated });
        ofThread.set(feed, now - (counted ?? 1));
      }
      expect((await open()).reduce((a, b) => a + b, 0)).toBe(sum());
    }
    for (const thread of threads) streams.closeAll(thread);
    expect((await open()).filter((value) => value !== 0)).toEqual([]);
    expect(count("GrpcStreamingStreamDisconnected")).toBe(count("GrpcStreamingStreamedInitialized"));
  });
  await fc.assert(property, { numRuns: 50 });
});

test("the end of a thread is one event per feed, which says how many streams are left", () => {
  const { streams, emitted } = startTelemetry();
  const [one, other] = [{}, {}];
  const [feed = feedOf("secret"), second = feed] = FEEDS;
  for (const thread of [one, other]) {
    streams.record(thread, { kind: "stream_opened", feed, openStreams: 7, count: 7_000 });
    streams.record(thread, { kind: "stream_opened", feed: second, openStreams: 8 });
  }
  streams.record(other, { kind: "stream_closed", feed: second, openStreams: 7 });
  emitted.length = 0;
  streams.closeAll(one);
  streams.closeAll(one);
  expect(emitted).toEqual([
    { kind: "stream_closed", feed, count: 7_000, openStreams: 7_001 },
    { kind: "stream_closed", feed: second, count: 1, openStreams: 7_000 },
  ]);
  // A feed without open streams has no end.
  emitted.length = 0;
  streams.closeAll(other);
  expect(emitted).toEqual([{ kind: "stream_closed", feed, count: 7_000, openStreams: 0 }]);
});

test("a removed key is reported as 0 for a while once its streams have ended, and then not at all", async () => {
  const { streams, open, clock, removed } = startTelemetry();
  const [thread, feed] = [{}, FEEDS[0] as Feed];
  streams.record(thread, { kind: "stream_opened", feed, openStreams: 1 });
  removed(feed.sdkKey);
  await clock.advance(11 * 60_000);
  expect(await open()).toEqual([1]);
  streams.record(thread, { kind: "stream_closed", feed, openStreams: 0 });
  streams.record(thread, { kind: "stream_opened", feed, openStreams: 1 });
  streams.record(thread, { kind: "stream_closed", feed, openStreams: 0 });
  await clock.advance(11 * 60_000);
  // It had come back.
  expect(await open()).toEqual([0]);
  removed(feed.sdkKey);
  await clock.advance(9 * 60_000);
  expect(await open()).toEqual([0]);
  await clock.advance(2 * 60_000);
  expect(await open()).toEqual([]);
});
