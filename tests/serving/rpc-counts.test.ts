import { expect, test } from "bun:test";
import type { RpcEvent } from "../../src/grpc/events.ts";
import { RpcCounts } from "../../src/serving/rpc-counts.ts";
import { formatPrometheus } from "../../src/telemetry/metrics/prometheus.ts";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";
import { KeyTags } from "../../src/telemetry/metrics/tags.ts";
import { createTelemetry } from "../../src/telemetry/telemetry.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const feed = feedOf("secret-one-0123456789");

function startTelemetry() {
  const registry = new MetricRegistry({ maxSeries: 1_000, keepsSamples: true });
  const logger = { log: () => {} };
  const { rpc } = createTelemetry({
    ...{ logger, registry, keys: new KeyTags(), clock: new FakeClock(), preload: [] },
  });
  return { registry, rpc };
}

const answered = (code: string, tookMs: number): RpcEvent => ({
  ...{ kind: "rpc_answered", code, bytes: 9, tookMs },
  feed: code === "ok" ? { ...feed } : undefined,
});

test("RPCs of several threads are counted as those of one, and cross once per feed and status", async () => {
  const [one, relay] = [startTelemetry(), startTelemetry()];
  const emit = () => false;
  const threads = [0, 1, 2].map(() => new RpcCounts({ emit, isPushing: true, isDebug: false }));
  for (let at = 0; at < 999; at++) {
    const event = answered(at % 5 === 0 ? "unavailable" : "ok", at);
    threads[at % 3]?.add(event);
    one.rpc.emit(event);
    if (at % 100 !== 0) continue;
    for (const thread of threads) {
      const taken = structuredClone(thread.take());
      expect(taken.length).toBeLessThanOrEqual(2);
      relay.rpc.merge(taken);
    }
  }
  for (const thread of threads) relay.rpc.merge(thread.take());
  for (const thread of threads) expect(thread.take()).toEqual([]);
  const lines = async ({ registry }: typeof one) => (await formatPrometheus(registry)).split("\n").sort();
  expect(await lines(relay)).toEqual(await lines(one));
});

test("at level debug each RPC is emitted, and counted only if there was no room for the event", () => {
  const emitted: RpcEvent[] = [];
  const emit = (event: RpcEvent) => emitted.length < 3 && emitted.push(event) > 0;
  const counts = new RpcCounts({ emit, isPushing: false, isDebug: false });
  counts.add({ kind: "stream_opened", feed, openStreams: 1 });
  counts.add(answered("ok", 1));
  expect(emitted.map(({ kind }) => kind)).toEqual(["stream_opened"]);
  counts.setDebug(true);
  for (let at = 0; at < 5; at++) counts.add(answered("ok", 1));
  expect(emitted).toHaveLength(3);
  expect(counts.take()).toMatchObject([{ measured: { count: 4 } }]);
});
