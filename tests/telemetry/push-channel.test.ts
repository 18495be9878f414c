import { describe, expect, test } from "bun:test";
import { settle } from "../support/common/fake-clock.ts";
import { scriptedChannel } from "../support/telemetry/scripted-push-sink.ts";
import { counts } from "../support/telemetry/statsd-sinks.ts";

describe("the channel to a sink", () => {
  test("tells once that it fails and once that it works again, with what was lost", async () => {
    const { channel, sink, events, dropped, clock } = scriptedChannel(100);
    for (let batch = 0; batch < 3; batch++) {
      channel.offer(counts(10));
      await sink.fail();
      await clock.advance(1_000);
    }
    for (let batch = 0; batch < 3; batch++) {
      channel.offer(counts(10));
      await sink.take();
    }
    expect(events).toEqual([
      { kind: "sink_failing", sink: "statsd", detail: "the agent is not there" },
      { kind: "sink_works_again", sink: "statsd", failedForMs: 3_000, dropped: 30 },
    ]);
    expect([dropped.count, sink.taken]).toEqual([30, 30]);
  });

  test("a sink that never answers counts as failing after 10 s, once; what waits behind it is bounded", async () => {
    const { channel, sink, events, dropped, clock } = scriptedChannel(25);
    sink.hears = false;
    channel.offer(counts(10));
    for (let seconds = 0; seconds < 60; seconds += 5) {
      expect(events).toHaveLength(seconds < 10 ? 0 : 1);
      await clock.advance(5_000);
      channel.offer(counts(10));
    }
    expect(events).toEqual([{ kind: "sink_failing", sink: "statsd", detail: "nothing accepted for 10 s" }]);
    expect(dropped.count).toBe(10 + 120 - 25);
    await sink.fail();
    expect([sink.pending, events.length]).toEqual([25, 1]);
    await sink.take();
    expect(events).toHaveLength(2);
  });

  test("a slow sink that ends in time loses nothing", async () => {
    const { channel, sink, events, dropped, clock } = scriptedChannel(100);
    channel.offer(counts(10));
    await clock.advance(9_000);
    channel.offer(counts(10));
    await sink.take();
    await clock.advance(9_000);
    await sink.take();
    expect([sink.taken, dropped.count, events]).toEqual([20, 0, []]);
  });

  test("is settled when everything offered is sent or given up, whenever that was offered", async () => {
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
    await sink.take();
    await Promise.all([settled, again]);
    expect(sink.pending).toBe(0);
  });

  test("when it ends, whoever sends still is told to stop, and the sink is closed", async () => {
    const { channel, sink, dropped } = scriptedChannel(100);
    channel.offer(counts(10));
    await channel[Symbol.asyncDispose]();
    await channel.settled();
    expect([sink.isDisposed, sink.pending, dropped.count]).toEqual([true, 0, 10]);
  });
});
