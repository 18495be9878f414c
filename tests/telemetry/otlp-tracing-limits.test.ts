import { describe, expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { startOtlpHttp } from "../support/telemetry/otlp-receiver.ts";
import {
  ask,
  PROTOCOLS,
  startKnownUpstream,
  startOtlpReceiver,
  startOtlpRelay,
} from "../support/telemetry/otlp-relay.ts";
import { treesWith } from "../support/telemetry/span-tree.ts";

const KEY = "secret-of-the-traces";
const TRACES_ALONE = ["--otlp-tracing"];
const PATIENCE = { withinMs: 15_000 };
const LATE = /WARN.* detail="no response within/;

describe("the sampler", () => {
  const start = async (env: Readonly<Record<string, string>>) => {
    await using stack = new AsyncDisposableStack();
    const upstream = stack.use(await startKnownUpstream(KEY));
    const receiver = stack.use(await startOtlpReceiver("http/protobuf"));
    const relay = stack.use(
      await startOtlpRelay({ upstream, endpoint: receiver.url, args: TRACES_ALONE, env }),
    );
    await ask(relay, KEY);
    const owned = stack.move();
    return { upstream, receiver, relay, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  };

  test("records nothing with always_off and says so to upstream", async () => {
    await using started = await start({ OTEL_TRACES_SAMPLER: "always_off" });
    await eventually(() => expect(started.upstream.requests.length).toBeGreaterThan(1), PATIENCE);
    expect(await started.relay.stop()).toBe(0);
    expect(started.receiver.requests).toBe(0);
    for (const { headers } of started.upstream.requests) expect(headers["traceparent"]).toMatch(/-00$/);
  });

  test("records no trace with a ratio of 0, each with a ratio of 1", async () => {
    await using none = await start({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0" });
    await using all = await start({
      OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "1",
    });
    await treesWith(all.receiver, "poll");
    expect(await none.relay.stop()).toBe(0);
    expect(none.receiver.requests).toBe(0);
  });

  test("records nothing without --otlp-tracing, and sends no trace headers to upstream", async () => {
    await using upstream = await startKnownUpstream(KEY);
    await using receiver = await startOtlpReceiver("http/protobuf");
    await using relay = await startOtlpRelay({ upstream, endpoint: receiver.url, args: [] });
    await ask(relay, KEY);
    await eventually(() => expect(upstream.requests.length).toBeGreaterThan(1), PATIENCE);
    for (const { headers } of upstream.requests) expect(headers["traceparent"]).toBeUndefined();
    expect(receiver.requests).toBe(0);
  });
});

for (const protocol of PROTOCOLS) {
  describe(`a collector of traces over ${protocol}`, () => {
    test("receives the last spans when the relay stops", async () => {
      await using upstream = await startKnownUpstream(KEY);
      await using receiver = await startOtlpReceiver(protocol);
      const env = { OTEL_BSP_SCHEDULE_DELAY: "600000" };
      const relay = await startOtlpRelay({
        upstream,
        protocol,
        endpoint: receiver.url,
        args: TRACES_ALONE,
        env,
      });
      await ask(relay, KEY);
      expect(receiver.requests).toBe(0);
      expect(await relay.stop()).toBe(0);
      expect(receiver.spans.map(({ name }) => name)).toContain("cache miss");
    });

    test("that never responds delays neither requests nor the shutdown beyond its limit", async () => {
      await using upstream = await startKnownUpstream(KEY);
      await using receiver = await startOtlpReceiver(protocol);
      receiver.behavior = "never";
      const relay = await startOtlpRelay({ upstream, protocol, endpoint: receiver.url, args: TRACES_ALONE });
      await ask(relay, KEY);
      await eventually(() => expect(receiver.requests).toBeGreaterThan(0), PATIENCE);
      await ask(relay, KEY, 100);
      const stoppedAt = performance.now();
      expect(await relay.stop()).toBe(0);
      expect(performance.now() - stoppedAt).toBeLessThan(7_000);
    });
  });
}

test("logs one line when the collector is unreachable and one when it is back, with the number of dropped spans", async () => {
  await using upstream = await startKnownUpstream(KEY);
  const port = await freePort();
  await using relay = await startOtlpRelay({
    upstream,
    endpoint: `http://127.0.0.1:${port}`,
    args: TRACES_ALONE,
    // The exporter tries again after a second, if that is within this limit.
    env: { OTEL_EXPORTER_OTLP_TIMEOUT: "700" },
  });
  // Without lines about exports that a slow machine did not end in time.
  const lines = () =>
    relay
      .output()
      .split("\n")
      .filter((line) => line.includes("sink=otlp-traces") && !LATE.test(line));
  await ask(relay, KEY);
  await eventually(() => expect(lines()).toHaveLength(1), PATIENCE);
  await Bun.sleep(1_500);
  expect(lines()).toHaveLength(1);
  await using receiver = await startOtlpHttp({ port });
  await eventually(() => expect(lines()).toHaveLength(2), PATIENCE);
  expect(lines()[1]).toMatch(/INFO .*dropped=\d+/);
  expect(receiver.spans.length).toBeGreaterThan(0);
});

test("drops and counts spans that exceed the queue", async () => {
  await using upstream = await startKnownUpstream(KEY);
  await using receiver = await startOtlpReceiver("http/protobuf");
  receiver.behavior = "never";
  const management = await freePort();
  await using relay = await startOtlpRelay({
    upstream,
    endpoint: receiver.url,
    args: [...TRACES_ALONE, "--management-port", String(management)],
    env: { OTEL_BSP_MAX_QUEUE_SIZE: "4", OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "2" },
  });
  const unknown = Array.from({ length: 20 }, (_, at) =>
    fetch(`${relay.httpUrl}/v1/download_config_specs/secret-unknown-${at}.json`),
  );
  await Promise.all(unknown);
  await eventually(async () => {
    const text = await (await fetch(`http://127.0.0.1:${management}/metrics`)).text();
    const [, dropped] = /MeasurementsDropped[^\n]*sink="otlp-traces"[^\n]* (\d+)/.exec(text) ?? [];
    // Each cache miss has three spans; four of all wait in the queue and two are being sent.
    expect(Number(dropped)).toBeGreaterThan(40);
  }, PATIENCE);
});
