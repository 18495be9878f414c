import { KEYS } from "../telemetry/metric-trigger.ts";
import { startMonitoredRelay } from "../telemetry/monitored-relay.ts";
import { OTHER_TRIGGERS } from "../telemetry/other-metric-triggers.ts";
import { SPEC_TRIGGERS } from "../telemetry/spec-metric-triggers.ts";
import { type LineForm, parseForms } from "./metric-lines.ts";

/** Does to a relay what each of these metrics counts, and returns the StatsD lines that it sent. Names are as in the lines. */
export async function sendEveryMetric(metrics: readonly string[]): Promise<readonly LineForm[]> {
  const names = new Set(metrics.map((metric) => metric.slice(0, metric.indexOf("."))));
  await using monitored = await startMonitoredRelay({ agent: "statsd", allowedKeys: Object.values(KEYS) });
  for (const { what, metrics: counted, run } of [...OTHER_TRIGGERS, ...SPEC_TRIGGERS]) {
    if (!counted.some((name) => names.has(name))) continue;
    await run(monitored);
    await monitored.sees(counted).catch((error: Error) => {
      throw new Error(`${what}: ${error.message}`);
    });
  }
  return parseForms(monitored.datagrams);
}
