import { describe, expect, test } from "bun:test";
import { retryDelayMs } from "../../src/log-events/pace.ts";
import { batchOf, eventBatch, eventGroup, eventText } from "../support/log-events/event-batches.ts";
import { accepted, failed, startForwarder } from "../support/telemetry/scripted-sink.ts";

const [a, b] = [eventGroup("a"), eventGroup("b")];
const labels = (count: number, from = 0) => Array.from({ length: count }, (_, at) => `${from + at}`);
const sizes = (requests: readonly { readonly events: readonly string[] }[]) =>
  requests.map(({ events }) => events.length);

describe("grouping", () => {
  test("sends the batches of a group in one request, in order, after a second", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    await queue.put(eventBatch(a, ["1", "2"], clock.now()));
    await clock.advance(600);
    await queue.put(eventBatch(a, ["3"], clock.now()));
    await queue.put(eventBatch(b, ["4"], clock.now()));
    await clock.advance(390);
    expect(sink.requests).toEqual([]);
    await clock.advance(20);
    expect(sink.requests).toMatchObject([{ group: a, events: ["1", "2", "3"].map(eventText) }]);
    await clock.advance(600);
    expect(sink.requests.slice(1)).toMatchObject([{ group: b, events: [eventText("4")] }]);
    expect(queue.depth.batches).toBe(0);
  });

  test("sends 1,000 events at once", async () => {
    await using setup = startForwarder();
    for (let at = 0; at < 10; at++) await setup.queue.put(eventBatch(a, labels(100), setup.clock.now()));
    await setup.clock.advance(25);
    expect(sizes(setup.sink.requests)).toEqual([1_000]);
  });

  test("limits a request to 1,000 events and 1 MB, unless a single event is larger", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    await queue.put(eventBatch(a, labels(2_500), clock.now()));
    await clock.advance(25);
    expect(sizes(sink.requests)).toEqual([1_000, 1_000]);
    // Events that do not fill a request wait for more.
    await clock.advance(1_100);
    expect(sizes(sink.requests)).toEqual([1_000, 1_000, 500]);
    const large = (mb: number) => `"${"x".repeat(mb * 1_000_000 - 2)}"`;
    await queue.put(batchOf(b, [large(0.4), large(0.4), large(0.4), large(1.5), large(0.1)], clock.now()));
    await clock.advance(1_100);
    expect(sizes(sink.requests.slice(3))).toEqual([2, 1, 1, 1]);
  });

  test("has one request of a group in flight at a time, and at most 16 in total", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    const gate = Promise.withResolvers<void>();
    sink.script = async () => {
      await gate.promise;
      return accepted;
    };
    for (let at = 0; at < 40; at++) await queue.put(eventBatch(eventGroup(`g${at}`), ["1"], clock.now()));
    await clock.advance(1_100);
    await queue.put(eventBatch(eventGroup("g0"), ["2"], clock.now()));
    await clock.advance(5_000);
    expect(sink.requests).toHaveLength(16);
    gate.resolve();
    await clock.advance(1_100);
    expect([sink.requests.length, sink.maxInFlight, queue.depth.batches]).toEqual([41, 16, 0]);
  });
});

describe("an upstream that fails or rejects requests", () => {
  test("is retried with growing delays, in order, and delays no other group", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    let failures = 0;
    sink.script = ({ group }) => (group.metadata === a.metadata && failures++ < 5 ? failed : accepted);
    await queue.put(eventBatch(a, ["1"], clock.now()));
    await clock.advance(1_010);
    await queue.put(eventBatch(a, ["2"], clock.now()));
    await queue.put(eventBatch(b, ["3"], clock.now()));
    await clock.advance(1_010);
    expect(sink.accepted).toEqual([eventText("3")]);
    await clock.advance(60_000);
    expect(sink.accepted).toEqual(["3", "1", "2"].map(eventText));
    const waits = setup.ofKind("log_events_delayed").map(({ retryInMs }) => retryInMs);
    expect(waits).toHaveLength(5);
    for (const [at, wait] of waits.entries()) {
      const longest = Math.min(5_000, 500 * 2 ** at);
      expect(wait).toBeWithin(longest / 2, longest + 1);
    }
  });

  test("is not retried before Retry-After, up to 60 s", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    const answers = [
      { ...failed, afterMs: 7_000 },
      { ...failed, trouble: "key", afterMs: 3_600_000 } as const,
    ];
    sink.script = () => answers.shift() ?? accepted;
    await queue.put(eventBatch(a, ["1"], clock.now()));
    await clock.advance(100_000);
    const [first = 0, second = 0, third = 0] = sink.requests.map(({ atMs }) => atMs);
    expect(second - first).toBe(7_000);
    expect(third - second).toBe(60_000);
    expect(sink.accepted).toEqual([eventText("1")]);
  });

  test.each([
    [false, [500, 1_000, 2_000, 5_000, 5_000]],
    [true, [500, 1_000, 2_000, 30_000, 30_000]],
  ])("gets growing delays, half of each random (outage: %p)", (isOutage, longest) => {
    const waits = (random: number) =>
      [1, 2, 3, 7, 50].map((failures) => retryDelayMs({ failures, afterMs: undefined, isOutage }, random));
    expect(waits(1)).toEqual(longest);
    expect(waits(0)).toEqual(longest.map((ms) => ms / 2));
  });

  test("that responds 413 gets smaller requests; a single event that is too large is dropped and reported", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    const poison = eventText("13");
    sink.script = ({ events }) =>
      events.length > 8 || events.includes(poison) ? { kind: "too_large" } : accepted;
    await queue.put(eventBatch(a, labels(20), clock.now()));
    await clock.advance(1_010);
    expect(sink.accepted).toEqual(
      labels(20)
        .filter((label) => label !== "13")
        .map(eventText),
    );
    expect(setup.ofKind("log_events_dropped")).toMatchObject([{ events: 1, reason: "event_too_large" }]);
    expect(queue.depth.batches).toBe(0);
  });

  test.each([401, 403])(
    "that responds %d gets one request of the group, whose events are dropped and reported once",
    async (code) => {
      await using setup = startForwarder();
      const { queue, clock, sink } = setup;
      sink.script = ({ group }) =>
        group.sdkKey === a.sdkKey ? { kind: "unauthorized", status: code } : accepted;
      await queue.put(eventBatch(a, labels(2_500), clock.now()));
      await queue.put(eventBatch(a, labels(20, 2_500), clock.now()));
      await queue.put(eventBatch(b, ["9"], clock.now()));
      await clock.advance(1_010);
      expect(sizes(sink.requests)).toEqual([1_000, 1]);
      expect(sink.accepted).toEqual([eventText("9")]);
      expect(setup.ofKind("log_events_dropped")).toEqual([
        {
          kind: "log_events_dropped",
          sdkKey: a.sdkKey,
          events: 2_520,
          reason: "refused",
          detail: `upstream answered ${code}`,
        },
      ]);
      expect(queue.depth).toEqual({ batches: 0, events: 0, bytes: 0 });
      // The key may have become valid: later events are tried.
      sink.script = () => accepted;
      await queue.put(eventBatch(a, ["later"], clock.now()));
      await clock.advance(1_010);
      expect(sink.accepted).toContain(eventText("later"));
    },
  );

  test("that responds with another 4xx has the events of the request dropped, with count and reason", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    sink.script = ({ group }) => (group.sdkKey === a.sdkKey ? { kind: "refused", status: 400 } : accepted);
    await queue.put(eventBatch(a, labels(3), clock.now()));
    await queue.put(eventBatch(b, ["9"], clock.now()));
    await clock.advance(1_010);
    expect(sink.accepted).toEqual([eventText("9")]);
    expect(setup.ofKind("log_events_dropped")).toEqual([
      {
        kind: "log_events_dropped",
        sdkKey: a.sdkKey,
        events: 3,
        reason: "refused",
        detail: "upstream answered 400",
      },
    ]);
    expect(queue.depth.batches).toBe(0);
  });

  test("is probed by one request at a time while it is down; then all are sent at once", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    sink.script = () => failed;
    for (let at = 0; at < 200; at++)
      await queue.put(eventBatch(eventGroup(`g${at}`), [`${at}`], clock.now()));
    await clock.advance(10 * 60_000);
    const groups = new Set(sink.requests.map(({ group }) => group.metadata));
    // Those that failed before upstream counted as down, and those that were sent in their place.
    expect(groups.size).toBeLessThanOrEqual(32);
    const lastMinute = sink.requests.filter(({ atMs }) => atMs > clock.now() - 60_000);
    expect(lastMinute.length).toBeWithin(16, 80);
    sink.script = () => accepted;
    await clock.advance(31_000);
    expect(sink.accepted).toHaveLength(200);
  });

  test("that asks one key to wait for long does not delay other keys, however many groups the key has", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    sink.script = ({ group }) =>
      group.sdkKey === a.sdkKey
        ? { kind: "retry", trouble: "key", detail: "upstream answered 429", afterMs: 60_000 }
        : accepted;
    for (let at = 0; at < 100; at++) {
      await queue.put(eventBatch({ ...a, metadata: `"${at}"` }, ["x"], clock.now()));
    }
    await queue.put(eventBatch(b, ["1"], clock.now()));
    await clock.advance(1_100);
    expect(sink.accepted).toEqual([eventText("1")]);
  });
});
