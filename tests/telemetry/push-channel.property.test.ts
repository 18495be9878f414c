import { expect, test } from "bun:test";
import fc from "fast-check";
import { scriptedChannel } from "../support/telemetry/scripted-push-sink.ts";
import { counts } from "../support/telemetry/statsd-sinks.ts";

const step = fc.oneof(
  fc.record({ do: fc.constant("offer" as const), count: fc.nat(40) }),
  fc.record({ do: fc.constantFrom("take" as const, "fail" as const) }),
  fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(1_000, 9_000, 10_000) }),
  fc.record({ do: fc.constant("obey" as const), obeysAbort: fc.boolean() }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test("every offered measurement is either dropped or sent, and the queue never exceeds its size", async () => {
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
          await sink.accept();
          break;
        case "fail":
          await sink.fail();
          break;
        case "wait":
          await clock.advance(next.ms);
          break;
        case "obey":
          sink.obeysAbort = next.obeysAbort;
      }
      expect(offered - dropped.count - sink.accepted - sink.pending).toBeLessThanOrEqual(size);
    }
    while (sink.pending > 0) await sink.fail();
    await channel.settled();
    expect(dropped.count + sink.accepted).toBe(offered);
    // Each failure is an event, and the first success after it.
    const kinds = events.map(({ kind }) => kind);
    const changes = kinds.filter((kind, at) => kind !== kinds[at - 1]);
    expect(changes).toEqual(changes.map((_, i) => (i % 2 === 0 ? "sink_failing" : "sink_recovered")));
    expect(kinds.filter((kind) => kind === "sink_recovered")).toEqual(
      changes.filter((kind) => kind === "sink_recovered"),
    );
  };
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 60 }), fc.array(step, { maxLength: 30 }), run));
});
