import { expect, test } from "bun:test";
import { METRICS } from "../../src/telemetry/metrics/catalog.ts";
import { describeWith } from "../support/common/needs.ts";
import { KEYS } from "../support/telemetry/happening.ts";
import { startMonitoredRelay } from "../support/telemetry/monitored-relay.ts";
import { OTHER_HAPPENINGS } from "../support/telemetry/other-happenings.ts";
import { SPEC_HAPPENINGS } from "../support/telemetry/spec-happenings.ts";

const happenings = [...OTHER_HAPPENINGS, ...SPEC_HAPPENINGS];

test("each metric tells of something that the tests make happen", () => {
  const told = happenings.flatMap(({ metrics }) => metrics);
  expect(told.toSorted()).toEqual(METRICS.map(({ name }) => String(name)).toSorted());
});

describeWith(
  "openssl",
  "redis-server",
  "redis-cli",
)("whatever happens is seen on every side", () => {
  test.each(["statsd", "datadog"] as const)(
    "Prometheus, OTLP, Statsig, and %s",
    async (agent) => {
      await using monitored = await startMonitoredRelay({ agent, allowedKeys: Object.values(KEYS) });
      for (const { what, metrics, make } of happenings) {
        await make(monitored);
        await monitored.sees(metrics).catch((error: Error) => {
          throw new Error(`${what}: ${error.message}\n${monitored.relay.output().slice(-2_000)}`);
        });
      }
    },
    60_000,
  );
});
