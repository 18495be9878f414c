import { describe, expect, test } from "bun:test";
import { retryDelayMs } from "../../src/log-events/pace.ts";
import { batchOf, eventBatch, eventGroup, eventText } from "../support/log-events/event-batches.ts";
import { accepted, failed, startForwarder } from "../support/telemetry/scripted-sink.ts";

const [a, b] = [eventGroup("a"), eventGroup("b")];
const labels = (count: number, from = 0) => Array.from({ length: count }, (_, at) => `${from + at}`);
const sizes = (requests: readonly { readonly events: readonly string[] }[]) =>
  requests.map(({ events }) => events.length);

describe("grouping", () => {
  test("batches of a group wait a second for more, and go as one request in order", async () => {
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

  test("1,000 events do not wait", async () => {
    await using setup = startForwarder();
    for (let at = 0; at < 10; at++) await setup.queue.put(eventBatch(a, labels(100), setup.clock.now()));
    await setup.clock.advance(25);
    expect(sizes(setup.sink.requests)).toEqual([1_000]);
  });

  test("no request has more than 1,000 events or 1 MB, but for one event that is larger", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    await queue.put(eventBatch(a, labels(2_500), clock.now()));
    await clock.advance(25);
    expect(sizes(sink.requests)).toEqual([1_000, 1_000]);
    // What does not fill a request waits for more, as if it had come alone.
    await clock.advance(1_100);
    expect(sizes(sink.requests)).toEqual([1_000, 1_000, 500]);
    const large = (mb: number) => `"${"x".repeat(mb * 1_000_000 - 2)}"`;
    await queue.put(batchOf(b, [large(0.4), large(0.4), large(0.4), large(1.5), large(0.1)], clock.now()));
    await clock.advance(1_100);
    expect(sizes(sink.requests.slice(3))).toEqual([2, 1, 1, 1]);
  });

  test("one group has one request at a time; 16 are in flight at most", async () => {
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

describe("an upstream that says no", () => {
  test("retries with growing waits, in order, and holds up no other group", async () => {
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

  test("Retry-After is kept to, but for more than 60 s", async () => {
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
  ])("waits grow, half of each random; outage: %p", (isOutage, longest) => {
    const waits = (random: number) =>
      [1, 2, 3, 7, 50].map((failures) => retryDelayMs({ failures, afterMs: undefined, isOutage }, random));
    expect(waits(1)).toEqual(longest);
    expect(waits(0)).toEqual(longest.map((ms) => ms / 2));
  });

  test("413 splits until it fits; an event that is too large alone is dropped and reported", async () => {
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
    "%d ends the group: its events are dropped with one request, reported once",
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
      // The key may have become valid: what comes later is tried.
      sink.script = () => accepted;
      await queue.put(eventBatch(a, ["later"], clock.now()));
      await clock.advance(1_010);
      expect(sink.accepted).toContain(eventText("later"));
    },
  );

  test("any other 4xx drops the request's events, counted, with the reason", async () => {
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

  test("while it is down one request at a time looks whether it is back; then all go at once", async () => {
    await using setup = startForwarder();
    const { queue, clock, sink } = setup;
    sink.script = () => failed;
    for (let at = 0; at < 200; at++)
      await queue.put(eventBatch(eventGroup(`g${at}`), [`${at}`], clock.now()));
    await clock.advance(10 * 60_000);
    const groups = new Set(sink.requests.map(({ group }) => group.metadata));
    // As many as failed before it was known, and those that had taken their places meanwhile.
    expect(groups.size).toBeLessThanOrEqual(32);
    const lastMinute = sink.requests.filter(({ atMs }) => atMs > clock.now() - 60_000);
    expect(lastMinute.length).toBeWithin(16, 80);
    sink.script = () => accepted;
    await clock.advance(31_000);
    expect(sink.accepted).toHaveLength(200);
  });

  test("a key that is told to wait for long holds up nobody, however many groups it has", async () => {
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
