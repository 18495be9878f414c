import { expect, test } from "bun:test";
import fc from "fast-check";
import { scriptedChannel } from "../support/telemetry/scripted-push-sink.ts";
import { counts } from "../support/telemetry/statsd-sinks.ts";

const step = fc.oneof(
  fc.record({ do: fc.constant("offer" as const), count: fc.nat(40) }),
  fc.record({ do: fc.constantFrom("take" as const, "fail" as const) }),
  fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(1_000, 9_000, 10_000) }),
  fc.record({ do: fc.constant("hear" as const), hears: fc.boolean() }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test("whatever a sink does, and when: dropped and taken is what was offered, and no more waits than may", async () => {
  const run = async (size: number, steps: readonly Step[]) => {
    const { channel, sink, events, dropped, clock } = scriptedChannel(size);
    let offered = 0;
    for (const next of steps) {
      switch (next.do) {
        case "offer":
          channel.offer(counts(next.count));
          offered += next.count;
          break;
        case "take":
          await sink.take();
          break;
        case "fail":
          await sink.fail();
          break;
        case "wait":
          await clock.advance(next.ms);
          break;
        case "hear":
          sink.hears = next.hears;
      }
      expect(offered - dropped.count - sink.taken - sink.pending).toBeLessThanOrEqual(size);
    }
    while (sink.pending > 0) await sink.fail();
    await channel.settled();
    expect(dropped.count + sink.taken).toBe(offered);
    const kinds = events.map(({ kind }) => kind);
    expect(kinds).toEqual(kinds.map((_, i) => (i % 2 === 0 ? "sink_failing" : "sink_works_again")));
  };
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 60 }), fc.array(step, { maxLength: 30 }), run));
});
