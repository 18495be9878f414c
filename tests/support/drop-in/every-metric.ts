import { eventually } from "../common/wait.ts";
import { KEYS } from "../telemetry/metric-trigger.ts";
import { startMonitoredRelay } from "../telemetry/monitored-relay.ts";
import { OTHER_TRIGGERS } from "../telemetry/other-metric-triggers.ts";
import { SPEC_TRIGGERS } from "../telemetry/spec-metric-triggers.ts";
import { type LineForm, parseForms } from "./metric-lines.ts";

/** Does to a relay what each of these metrics counts, and returns the StatsD lines that it sent. Names are as in the lines. */
export async function sendEveryMetric(metrics: readonly string[]): Promise<readonly LineForm[]> {
  await using monitored = await startMonitoredRelay({ agent: "statsd", allowedKeys: Object.values(KEYS) });
  const others = OTHER_TRIGGERS.filter(({ metrics: counted }) =>
    metrics.some((metric) => isOf(metric, counted)),
  );
  // Those of config specs build on each other.
  for (const { what, metrics: counted, run } of [...others, ...SPEC_TRIGGERS]) {
    await run(monitored);
    await eventually(
      () => {
        const sent = parseForms(monitored.datagrams).map(({ metric }) => metric);
        const missing = metrics.filter((metric) => isOf(metric, counted) && !sent.includes(metric));
        if (missing.length > 0) throw new Error(`${what}: not sent: ${missing.join(", ")}`);
      },
      { withinMs: 15_000, everyMs: 50 },
    );
  }
  return parseForms(monitored.datagrams);
}

function isOf(metric: string, names: readonly string[]): boolean {
  return names.includes(metric.slice(0, metric.indexOf(".")));
}
