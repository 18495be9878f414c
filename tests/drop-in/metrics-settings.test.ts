import { afterAll, beforeAll, describe, expect } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { type ObservedMetrics, observeMetrics, startExporting } from "../support/drop-in/observed-metrics.ts";
import { testRows } from "../support/drop-in/row.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { startOtlpHttp } from "../support/telemetry/otlp-receiver.ts";
import { METRIC_SETTING_ROWS, type MetricSettingCheck } from "./metrics-settings.rows.ts";

describe("settings of metrics", () => {
  let seen: ObservedMetrics;

  beforeAll(async () => {
    seen = await observeMetrics();
  }, 60_000);

  afterAll(() => expect(seen.exitCodes).toEqual([0, 0]));

  testRows(METRIC_SETTING_ROWS, ({ check }) => verify(check, seen));
});

async function verify(check: MetricSettingCheck, seen: ObservedMetrics): Promise<void> {
  const lines = seen.datagrams.flatMap((datagram) => datagram.split("\n"));
  switch (check.kind) {
    case "line":
      expect(lines).toContainEqual(expect.stringMatching(check.form));
      return;
    case "no line":
      expect(lines).not.toEqual([]);
      expect(lines.filter((line) => check.form.test(line))).toEqual([]);
      return;
    case "output":
      expect(seen.output).toMatch(check.form);
      expect(seen.output).not.toMatch(check.without);
      return;
    case "datagrams": {
      const sizes = seen.datagrams.map((datagram) => Buffer.byteLength(datagram));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(check.maxBytes);
      expect(lines.length).toBeGreaterThan(seen.datagrams.length);
      return;
    }
    case "event":
      expect(seen.events.flat().map((event) => JSON.stringify(event))).toContainEqual(
        expect.stringMatching(check.form),
      );
      return;
    case "one event":
      for (const request of seen.events) expectOncePerSeries(request, check.eventName);
      return;
    case "otlp":
      expect(seen.exports).toContainEqual(
        expect.objectContaining({ path: check.path, protocol: check.protocol }),
      );
      return;
    case "attribute": {
      const values = seen.exports.flatMap(({ points }) =>
        points.flatMap((point) => Object.entries(point.attributes)),
      );
      expect(values).toContainEqual([check.name, check.value]);
      expect(values.filter(([, value]) => String(value).startsWith(":"))).toEqual([]);
      return;
    }
    case "endpoint":
      await expectExportTo(check);
      return;
    case "refused": {
      const { exitCode, stderr } = await runRelay(["--otlp-logging", "http", "disabled"], check.env);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(check.error);
    }
  }
}

function expectOncePerSeries(events: ObservedMetrics["events"][number], eventName: string): void {
  const series = events
    .filter((event) => event.eventName === eventName)
    .map(({ metadata: { count, min, max, ...tags } }) => JSON.stringify(tags));
  expect(new Set(series).size).toBe(series.length);
}

async function expectExportTo({
  env,
  path,
}: Extract<MetricSettingCheck, { kind: "endpoint" }>): Promise<void> {
  await using collector = await startOtlpHttp();
  await using other = await startOtlpHttp();
  const given = Object.entries(env).map(([name, value]) => [
    name,
    value.replace("{url}", collector.url).replace("{other}", other.url),
  ]);
  await using _relay = await startExporting(Object.fromEntries(given));
  await eventually(() =>
    expect(collector.received.map(({ path: at, protocol }) => `${at} ${protocol}`)).toContain(path),
  );
  expect(other.requests).toBe(0);
}
