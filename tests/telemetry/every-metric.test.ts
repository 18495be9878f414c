import { expect, test } from "bun:test";
import { METRICS } from "../../src/telemetry/metrics/catalog.ts";
import { describeWith } from "../support/common/needs.ts";
import { ALL_TRIGGERS, runTriggers } from "../support/telemetry/all-metric-triggers.ts";
import { KEYS } from "../support/telemetry/metric-trigger.ts";
import { startMonitoredRelay } from "../support/telemetry/monitored-relay.ts";

test("every metric is triggered by a test", () => {
  const triggered = ALL_TRIGGERS.flatMap(({ metrics }) => metrics);
  expect(triggered.toSorted()).toEqual(METRICS.map(({ name }) => String(name)).toSorted());
});

describeWith(
  "openssl",
  "redis-server",
  "redis-cli",
)("every metric is exported", () => {
  test.each(["statsd", "datadog"] as const)(
    "to Prometheus, OTLP, Statsig and %s",
    async (agent) => {
      await using monitored = await startMonitoredRelay({ agent, allowedKeys: Object.values(KEYS) });
      await runTriggers(monitored);
    },
    180_000,
  );
});
