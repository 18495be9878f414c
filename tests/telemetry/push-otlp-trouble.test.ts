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

for (const protocol of PROTOCOLS) {
  test(`by ${protocol}: a collector that never answers costs requests nothing, and a stop no more than it may take`, async () => {
    await using upstream = await startKnownUpstream(KEY);
    await using receiver = await startOtlpReceiver(protocol);
    receiver.answer = "never";
    const relay = await startOtlpRelay({ upstream, protocol, endpoint: receiver.url, args: METRICS_ALONE });
    await ask(relay, KEY, 1);
    await eventually(() => expect(receiver.requests).toBeGreaterThan(0));
    const startedAt = performance.now();
    await ask(relay, KEY, 100);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    const stoppedAt = performance.now();
    expect(await relay.stop()).toBe(0);
    expect(performance.now() - stoppedAt).toBeLessThan(7_000);
  });
}

describe("--otlp-logging", () => {
  test("a collector that is not there is told once when it begins, and once when it ends", async () => {
    const port = await freePort();
    await using relay = await startOtlpRelay({
      endpoint: `http://127.0.0.1:${port}`,
      args: METRICS_ALONE,
      env: { OTEL_EXPORTER_OTLP_TIMEOUT: "100" },
    });
    const lines = () =>
      relay
        .output()
        .split("\n")
        .filter((line) => line.includes("sink=otlp"));
    await eventually(() => expect(lines()).toHaveLength(1));
    await Bun.sleep(1_000);
    expect(lines()).toHaveLength(1);
    expect(lines()[0]).toContain("WARN");
    await using receiver = await startOtlpHttp({ port });
    await eventually(() => expect(lines()).toHaveLength(2));
    expect(lines()[1]).toContain("INFO");
    expect(receiver.points.length).toBeGreaterThan(0);
  });

  test("a collector that says no is told with its status", async () => {
    await using receiver = await startOtlpHttp();
    receiver.answer = 403;
    await using relay = await startOtlpRelay({ endpoint: receiver.url, args: METRICS_ALONE });
    await eventually(() => expect(relay.output()).toContain("the collector answered 403"));
  });

  test("an answer that never ends counts as a failure", async () => {
    await using receiver = await startOtlpHttp();
    receiver.answer = "drip";
    await using relay = await startOtlpRelay({ endpoint: receiver.url, args: METRICS_ALONE });
    await eventually(() => expect(relay.output()).toContain("no response within 200 ms"));
  });

  test("is off unless it is asked for", async () => {
    await using receiver = await startOtlpHttp();
    await using _relay = await startOtlpRelay({ endpoint: receiver.url, args: [] });
    await Bun.sleep(700);
    expect(receiver.requests).toBe(0);
  });
});
