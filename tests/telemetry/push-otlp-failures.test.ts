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

const KEY = "secret-of-the-metrics";
const METRICS_ALONE = ["--otlp-logging"];
const PATIENCE = { withinMs: 15_000 };
const LATE = /WARN.* detail="no response within/;

for (const protocol of PROTOCOLS) {
  test(`a ${protocol} collector that never responds delays neither requests nor the shutdown beyond its limit`, async () => {
    await using upstream = await startKnownUpstream(KEY);
    await using receiver = await startOtlpReceiver(protocol);
    receiver.behavior = "never";
    const relay = await startOtlpRelay({ upstream, protocol, endpoint: receiver.url, args: METRICS_ALONE });
    await ask(relay, KEY, 1);
    await eventually(() => expect(receiver.requests).toBeGreaterThan(0), PATIENCE);
    const startedAt = performance.now();
    await ask(relay, KEY, 100);
    // Each request that waits for the collector takes at least 200 ms.
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    const stoppedAt = performance.now();
    expect(await relay.stop()).toBe(0);
    expect(performance.now() - stoppedAt).toBeLessThan(7_000);
  });
}

describe("--otlp-logging", () => {
  test("logs one line when the collector becomes unreachable and one when it is back", async () => {
    const port = await freePort();
    await using relay = await startOtlpRelay({
      endpoint: `http://127.0.0.1:${port}`,
      args: METRICS_ALONE,
      env: { OTEL_METRIC_EXPORT_INTERVAL: "400", OTEL_EXPORTER_OTLP_TIMEOUT: "400" },
    });
    // Without lines about exports that a slow machine did not end in time.
    const lines = () =>
      relay
        .output()
        .split("\n")
        .filter((line) => line.includes("sink=otlp") && !LATE.test(line));
    await eventually(() => expect(lines()).toHaveLength(1), PATIENCE);
    await Bun.sleep(1_000);
    expect(lines()).toHaveLength(1);
    expect(lines()[0]).toContain("WARN");
    await using receiver = await startOtlpHttp({ port });
    await eventually(() => expect(lines()).toHaveLength(2), PATIENCE);
    expect(lines()[1]).toContain("INFO");
    expect(receiver.points.length).toBeGreaterThan(0);
  });

  test("logs the status of a collector that rejects the data", async () => {
    await using receiver = await startOtlpHttp();
    receiver.behavior = 403;
    await using relay = await startOtlpRelay({ endpoint: receiver.url, args: METRICS_ALONE });
    await eventually(() => expect(relay.output()).toContain("the collector answered 403"), PATIENCE);
  });

  test("counts a response that never ends as a failure", async () => {
    await using receiver = await startOtlpHttp();
    receiver.behavior = "drip";
    await using relay = await startOtlpRelay({ endpoint: receiver.url, args: METRICS_ALONE });
    await eventually(() => expect(relay.output()).toContain("no response within 200 ms"), PATIENCE);
  });

  test("sends nothing without the option", async () => {
    await using receiver = await startOtlpHttp();
    await using _relay = await startOtlpRelay({ endpoint: receiver.url, args: [] });
    await Bun.sleep(700);
    expect(receiver.requests).toBe(0);
  });
});
