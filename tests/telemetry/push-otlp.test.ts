import { describe, expect, test } from "bun:test";
import { hostname } from "node:os";
import { eventually } from "../support/common/wait.ts";
import type { MetricPoint } from "../support/telemetry/otlp-messages.ts";
import {
  ask,
  PROTOCOLS,
  startKnownUpstream,
  startOtlpReceiver,
  startOtlpRelay,
} from "../support/telemetry/otlp-relay.ts";
import { specV1 } from "../support/upstream/payloads.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-of-the-metrics";
const SUCCESS = "statsig.forward_proxy.HttpServerRequestSuccess";
const METRICS_ALONE = ["--otlp-logging"];
const PATIENCE = { withinMs: 15_000 };

const named = (points: readonly MetricPoint[], name: string) => points.filter((point) => point.name === name);
const requestsIn = (points: readonly MetricPoint[]) =>
  named(points, `${SUCCESS}.count`).reduce((sum, { value }) => sum + value, 0);

for (const protocol of PROTOCOLS) {
  describe(`--otlp-logging over ${protocol}`, () => {
    test("sends sums, histograms and gauges with their tags", async () => {
      await using upstream = await startKnownUpstream(KEY);
      await using receiver = await startOtlpReceiver(protocol);
      await using relay = await startOtlpRelay({
        upstream,
        protocol,
        endpoint: receiver.url,
        args: METRICS_ALONE,
      });
      await ask(relay, KEY, 5);
      const count = await eventually(() => {
        const [newest] = named(receiver.received.at(-1)?.points ?? [], `${SUCCESS}.count`);
        expect(newest?.value).toBe(5);
        return newest as MetricPoint;
      }, PATIENCE);
      expect(receiver.received.map((each) => [each.protocol, each.signal])[0]).toEqual([protocol, "metrics"]);
      expect(count).toMatchObject({ kind: "sum", temporality: "cumulative", isMonotonic: true });
      expect(count.attributes).toMatchObject({ path: "/v1/download_config_specs", status_code: "200" });
      expect(count.description).not.toBe("");
      expect(count.timeNs - count.startNs).toBeGreaterThan(0n);
      const [latency] = named(receiver.received.at(-1)?.points ?? [], `${SUCCESS}.latency`);
      expect(latency).toMatchObject({ kind: "histogram", unit: "ms", value: 5, temporality: "cumulative" });
      expect(latency?.bucketCounts.reduce((sum, each) => sum + each, 0)).toBe(5);
      expect(latency?.bucketCounts).toHaveLength((latency?.bounds.length ?? 0) + 1);
      expect(latency?.sum).toBeGreaterThan(0);
      const [memory] = named(receiver.points, "statsig.forward_proxy.MemoryRssBytes.gauge");
      expect(memory).toMatchObject({ kind: "gauge" });
      expect(memory?.value).toBeGreaterThan(10_000_000);
      expect(
        JSON.stringify(receiver.received, (_, value) => String(typeof value === "bigint" ? 0 : value)),
      ).not.toContain(KEY);
    });

    test("compresses and adds headers as OTEL_EXPORTER_OTLP_* say", async () => {
      await using receiver = await startOtlpReceiver(protocol);
      await using relay = await startOtlpRelay({
        protocol,
        endpoint: receiver.url,
        args: METRICS_ALONE,
        env: {
          OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
          OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=one,x-token=a%20b",
          OTEL_EXPORTER_OTLP_METRICS_HEADERS: "x-tenant=two",
        },
      });
      await eventually(() => expect(receiver.points.length).toBeGreaterThan(0), PATIENCE);
      const [first] = receiver.received;
      expect(first?.isCompressed).toBe(true);
      expect(first?.headers).toMatchObject({ "x-tenant": "two", "x-token": "a b" });
      expect(relay.output()).not.toContain("a b");
    });

    test("sends a resource with the relay, its host, this process and OTEL_RESOURCE_ATTRIBUTES", async () => {
      await using receiver = await startOtlpReceiver(protocol);
      const started = { protocol, endpoint: receiver.url, args: METRICS_ALONE };
      await using _one = await startOtlpRelay(started);
      await eventually(() => expect(receiver.points.length).toBeGreaterThan(0), PATIENCE);
      const resource = receiver.points[0]?.resource;
      expect(resource).toMatchObject({ "service.name": "statsig-forward-proxy", "host.name": hostname() });
      expect(resource?.["service.version"]).toMatch(/^\d+\.\d+\.\d+/);
      receiver.received.length = 0;
      await using _other = await startOtlpRelay({
        ...started,
        env: {
          OTEL_SERVICE_NAME: "edge",
          OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=prod,host.name=h",
        },
      });
      const named = await eventually(() => {
        const found = receiver.points.find((point) => point.resource["service.name"] === "edge");
        expect(found).toBeDefined();
        return found as MetricPoint;
      }, PATIENCE);
      expect(named.resource).toMatchObject({ "deployment.environment": "prod", "host.name": "h" });
      expect(named.resource["service.instance.id"]).not.toBe(resource?.["service.instance.id"] as string);
    });

    for (const preference of ["delta", "lowmemory"]) {
      test(`sends deltas with the temporality preference ${preference}, which add up to the total`, async () => {
        await using upstream = await startKnownUpstream(KEY);
        await using receiver = await startOtlpReceiver(protocol);
        const env = { OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: preference };
        await using relay = await startOtlpRelay({
          upstream,
          protocol,
          endpoint: receiver.url,
          args: METRICS_ALONE,
          env,
        });
        for (const times of [3, 1, 4]) {
          const before = requestsIn(receiver.points);
          await ask(relay, KEY, times);
          await eventually(() => expect(requestsIn(receiver.points)).toBe(before + times), PATIENCE);
        }
        // One that a slow machine did not end in time may arrive after the next one.
        const counts = named(receiver.points, `${SUCCESS}.count`).toSorted((a, b) =>
          Number(a.startNs - b.startNs),
        );
        expect(counts.length).toBeGreaterThan(2);
        for (const [at, point] of counts.entries()) {
          expect(point).toMatchObject({ temporality: "delta" });
          expect(point.value).toBeGreaterThan(0);
          expect(point.startNs).toBeGreaterThanOrEqual(counts[at - 1]?.timeNs ?? 0n);
        }
        const latencies = named(receiver.points, `${SUCCESS}.latency`);
        expect(latencies.flatMap((each) => each.bucketCounts).reduce((sum, each) => sum + each, 0)).toBe(8);
      });
    }

    test("sends the last values when the relay stops", async () => {
      await using upstream = await startKnownUpstream(KEY);
      await using receiver = await startOtlpReceiver(protocol);
      const env = { OTEL_METRIC_EXPORT_INTERVAL: "600000" };
      const relay = await startOtlpRelay({
        upstream,
        protocol,
        endpoint: receiver.url,
        args: METRICS_ALONE,
        env,
      });
      await ask(relay, KEY, 7);
      expect(await relay.stop()).toBe(0);
      expect(requestsIn(receiver.points)).toBe(7);
    });
  });
}

test("splits a large export into several messages without loss", async () => {
  await using upstream = await startUpstream();
  const keys = Array.from({ length: 500 }, (_, at) => `secret-${at}-of-many`);
  for (const key of keys) upstream.publish(key, "v1", specV1({ lcut: 1_000 }));
  await using receiver = await startOtlpReceiver("grpc");
  const relay = await startOtlpRelay({
    upstream,
    protocol: "grpc",
    endpoint: receiver.url,
    args: METRICS_ALONE,
    pollIntervalS: 60,
    env: { OTEL_METRIC_EXPORT_INTERVAL: "600000" },
  });
  for (let at = 0; at < keys.length; at += 20)
    await Promise.all(keys.slice(at, at + 20).map((key) => ask(relay, key)));
  expect(await relay.stop()).toBe(0);
  expect(receiver.received.length).toBeGreaterThan(1);
  for (const { points } of receiver.received) expect(points.length).toBeLessThanOrEqual(1_000);
  expect(requestsIn(receiver.points)).toBe(keys.length);
}, 60_000);
