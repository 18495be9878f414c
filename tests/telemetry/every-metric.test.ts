import { expect, test } from "bun:test";
import { METRICS } from "../../src/telemetry/metrics/catalog.ts";
import { describeWith } from "../support/common/needs.ts";
import { KEYS } from "../support/telemetry/metric-trigger.ts";
import { startMonitoredRelay } from "../support/telemetry/monitored-relay.ts";
import { OTHER_TRIGGERS } from "../support/telemetry/other-metric-triggers.ts";
import { SERVING_TRIGGERS } from "../support/telemetry/serving-metric-triggers.ts";
import { SPEC_TRIGGERS } from "../support/telemetry/spec-metric-triggers.ts";

const triggers = [...OTHER_TRIGGERS, ...SPEC_TRIGGERS, ...SERVING_TRIGGERS];

test("every metric is triggered by a test", () => {
  const triggered = triggers.flatMap(({ metrics }) => metrics);
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
      for (const { what, metrics, run } of triggers) {
        await run(monitored);
        await monitored.sees(metrics).catch((error: Error) => {
          throw new Error(`${what}: ${error.message}\n${monitored.relay.output().slice(-2_000)}`);
        });
      }
    },
    180_000,
  );
});
