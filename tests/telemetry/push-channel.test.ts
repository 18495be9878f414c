import { describe, expect, test } from "bun:test";
import { settle } from "../support/common/fake-clock.ts";
import { scriptedChannel } from "../support/telemetry/scripted-push-sink.ts";
import { counts } from "../support/telemetry/statsd-sinks.ts";

describe("the channel to a sink", () => {
  test("emits one event for each failure and one when the sink recovers, with the number of dropped measurements", async () => {
    const { channel, sink, events, dropped, clock } = scriptedChannel(100);
    for (let batch = 0; batch < 3; batch++) {
      channel.offer(counts(10));
      await sink.fail();
      await clock.advance(1_000);
    }
    for (let batch = 0; batch < 3; batch++) {
      channel.offer(counts(10));
      await sink.accept();
    }
    expect(events).toEqual([
      ...Array(3).fill({ kind: "sink_failing", sink: "statsd", detail: "the agent is not there" }),
      { kind: "sink_recovered", sink: "statsd", failedForMs: 3_000, dropped: 30 },
    ]);
    expect([dropped.count, sink.accepted]).toEqual([30, 30]);
  });

  test("reports a sink that hangs once, after 10 s, and drops what exceeds the queue", async () => {
    const { channel, sink, events, dropped, clock } = scriptedChannel(25);
    sink.obeysAbort = false;
    channel.offer(counts(10));
    for (let seconds = 0; seconds < 60; seconds += 5) {
      expect(events).toHaveLength(seconds < 10 ? 0 : 1);
      await clock.advance(5_000);
      channel.offer(counts(10));
    }
    expect(events).toEqual([{ kind: "sink_failing", sink: "statsd", detail: "not sent within 10 s" }]);
    expect(dropped.count).toBe(10 + 120 - 25);
    await sink.fail();
    expect([sink.pending, events.length]).toEqual([25, 1]);
    await sink.accept();
    expect(events).toHaveLength(2);
  });

  test("loses nothing with a slow sink that finishes in time", async () => {
    const { channel, sink, events, dropped, clock } = scriptedChannel(100);
    channel.offer(counts(10));
    await clock.advance(9_000);
    channel.offer(counts(10));
    await sink.accept();
    await clock.advance(9_000);
    await sink.accept();
    expect([sink.accepted, dropped.count, events]).toEqual([20, 0, []]);
  });

  test("settles when everything that was offered is sent or dropped", async () => {
    const { channel, sink } = scriptedChannel(100);
    let isSettled = false;
    channel.offer([]);
    await channel.settled();
    channel.offer(counts(1));
    const settled = channel.settled().then(() => {
      isSettled = true;
    });
    await sink.fail();
    channel.offer(counts(1));
    await settle();
    expect(isSettled).toBe(true);
    const again = channel.settled();
    expect(sink.pending).toBe(1);
    await sink.accept();
    await Promise.all([settled, again]);
    expect(sink.pending).toBe(0);
  });

  test("aborts a running send and closes the sink when it is disposed of", async () => {
    const { channel, sink, dropped } = scriptedChannel(100);
    channel.offer(counts(10));
    await channel[Symbol.asyncDispose]();
    await channel.settled();
    expect([sink.isDisposed, sink.pending, dropped.count]).toEqual([true, 0, 10]);
  });
});
