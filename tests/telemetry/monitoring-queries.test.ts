import { expect, test } from "bun:test";
import { readAlertRules } from "../../scripts/gen/alert-rules.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { runTriggers } from "../support/telemetry/all-metric-triggers.ts";
import { expressionsOf, readDashboard } from "../support/telemetry/dashboard.ts";
import { KEYS } from "../support/telemetry/metric-trigger.ts";
import { startMonitoredRelay } from "../support/telemetry/monitored-relay.ts";
import { Prometheus } from "../support/telemetry/prometheus.ts";
import { selectorsIn } from "../support/telemetry/promql.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";

const NO_RULES = JSON.stringify({ groups: [] });
/** Series that no trigger causes, or that exist too briefly for a scrape. */
const NOT_SEEN_HERE = [
  /BootstrapFiles_gauge/,
  /RedisPermissionsMissing_gauge/,
  /RedisTokenFailing_gauge/,
  /GrpcFeedsTooLarge_gauge/,
  /LogEventQueue(Events|Bytes|Filled)_gauge/,
  /RequestsInFlight_gauge/,
  /ServingThreads_gauge\{state="missing"/,
  /GrpcServerRequest_count_total\{code=~"unavailable\|/,
  /KeyRefused_count_total\{reason="throttled"/,
  /LogEventRequestRejected_count_total\{reason=~"queue_full\|/,
  /AllowedKeysReloaded_count_total\{state="refused"/,
];

const WAIT = { withinMs: 30_000, everyMs: 200 };

describeWith(
  "prometheus",
  "openssl",
  "redis-server",
  "redis-cli",
)("Prometheus finds series with values above 0", () => {
  test("for each selector of the dashboard and of the alert rules", async () => {
    await using monitored = await startMonitoredRelay({ agent: "statsd", allowedKeys: Object.values(KEYS) });
    const target = new URL(monitored.relay.urlOf("management")).host;
    await using prometheus = await Prometheus.start({ target, rules: NO_RULES });
    await runTriggers(monitored);
    // The streams of the triggers may be open between two scrapes only.
    using client = new GrpcClient(monitored.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: KEYS.third, version: 2 });
    await stream.next();
    const expressions = [
      ...expressionsOf(await readDashboard()),
      ...(await readAlertRules()).map(({ expr }) => expr),
    ];
    // Replace the dashboard variables by patterns that match any job, relay, key and status.
    const selectors = new Set(
      expressions.flatMap(selectorsIn).map((each) => each.replaceAll('=~"a|b"', '=~".*"')),
    );
    expect(selectors.size).toBeGreaterThan(70);
    await eventually(async () => {
      const empty: string[] = [];
      for (const selector of selectors) {
        if (NOT_SEEN_HERE.some((pattern) => pattern.test(selector))) continue;
        const values = await prometheus.query(`max(max_over_time(${selector}[5m]))`);
        if (!values.some((value) => value > 0)) empty.push(selector);
      }
      expect(empty).toEqual([]);
    }, WAIT);
  }, 180_000);

  test("for new versions of feeds with streams, although each version is a series of its own", async () => {
    await using monitored = await startMonitoredRelay({ agent: "statsd", allowedKeys: Object.values(KEYS) });
    const { relay, upstream } = monitored;
    const target = new URL(relay.urlOf("management")).host;
    await using prometheus = await Prometheus.start({ target, rules: NO_RULES });
    const panel = expressionsOf(await readDashboard(), "10s").find((expr) =>
      expr.includes("StreamingChannelGotNewData"),
    );
    // Scrapes every 250 ms instead of every 15 s.
    const asked = String(panel).replaceAll('=~"a|b"', '=~".*"').replace("[10s:15s]", "[10s:250ms]");
    expect(asked).toContain("[10s:250ms]");
    publishKey(upstream, KEYS.first);
    using client = new GrpcClient(relay.grpcUrl);
    const { lcut } = versionOf(KEYS.first);
    using stream = client.streamConfigSpec({ sdkKey: KEYS.first, version: 2, sinceTime: lcut });
    await stream.next();
    let revision = 0;
    await eventually(async () => {
      publishKey(upstream, KEYS.first, ++revision);
      await stream.next();
      const [perSecond = 0] = await prometheus.query(asked);
      expect(perSecond).toBeGreaterThan(0);
    }, WAIT);
  }, 120_000);
});
