import { beforeAll, describe, expect, test } from "bun:test";
import { rawGet } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { sendEveryMetric } from "../support/drop-in/every-metric.ts";
import { replayGoldenRequests } from "../support/drop-in/golden-requests.ts";
import { formatAs41, type LineForm, parseForms, tagNames } from "../support/drop-in/metric-lines.ts";
import { testRows } from "../support/drop-in/row.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { UdpListener } from "../support/telemetry/udp-listener.ts";
import { FIRST_LCUT, publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";
import { GOLDEN_ROWS, type GoldenRow, SHORT_KEY, SHORT_KEY_ROWS } from "./metrics.rows.ts";
import { METRIC_NAME_ROWS, type MetricNameRow } from "./metrics-names.rows.ts";

describe.each(["statsd", "datadog"] as const)("the recorded lines of %s", (sink) => {
  let sent: ReadonlySet<string>;

  beforeAll(async () => {
    sent = new Set((await replayGoldenRequests(sink)).map(formatAs41));
  }, 60_000);

  testRows(
    GOLDEN_ROWS.filter((row) => row.sink === sink),
    ({ original, line, ours }: GoldenRow) => {
      if (line !== undefined) expect(sent).toContain(line);
      if (ours !== "same") expect(sent).not.toContain(original);
    },
  );

  test("no line has an SDK key, or a part of a request that a client made up", () => {
    for (const line of sent) expect(line).not.toMatch(/MnOpQrSt|secret-bad|nope|\.\.|sdk_key:,/);
  });
});

describe("a short SDK key with two versions in one batch", () => {
  let sent: readonly LineForm[];
  let log: string;

  beforeAll(async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, SHORT_KEY);
    using agent = await UdpListener.start();
    // The batch is sent at the end.
    const env = { STATSD_PORT_OVERRIDE: String(agent.port), DATADOG_MAX_BATCH_TIME_MS: "60000" };
    const args = ["--statsd-logging", "--debug-logging"];
    await using relay = await startRelayProcess({ upstream, mode: "http", args, env });
    const lcutNow = async () => {
      const { headers } = await rawGet(`${relay.httpUrl}/v2/download_config_specs/${SHORT_KEY}.json`);
      return Number(headers["x-since-time"]);
    };
    expect(await lcutNow()).toBe(FIRST_LCUT);
    const { lcut } = publishKey(upstream, SHORT_KEY, 1);
    await eventually(async () => expect(await lcutNow()).toBe(lcut), { withinMs: 15_000 });
    expect(await relay.stop()).toBe(0);
    await agent.readAll();
    sent = parseForms(agent.datagrams);
    log = relay.output();
  }, 30_000);

  const valuesOf = (metric: string, tag: string) =>
    sent
      .filter((line) => line.metric === metric)
      .flatMap(({ tags }) => tags.filter((each) => each.startsWith(`${tag}:`)));

  testRows([SHORT_KEY_ROWS.tags], () => {
    const shown = valuesOf("HttpServerRequestSuccess.latency", "sdk_key");
    expect(shown.length).toBeGreaterThan(0);
    for (const each of shown) expect(each).toMatch(/^sdk_key:secret-sho\*[0-9a-f]{6}$/);
  });

  testRows([SHORT_KEY_ROWS.log], () => {
    expect(log).toMatch(/secret-sho\*[0-9a-f]{6}/);
    expect(log).not.toContain(SHORT_KEY);
  });

  testRows([SHORT_KEY_ROWS.lcut], () => {
    const newest = `lcut:${versionOf(SHORT_KEY, 1).lcut}`;
    const shown = valuesOf("HttpDataProviderGotData.latency", "lcut");
    expect(shown.length).toBeGreaterThan(0);
    expect(new Set(shown)).toEqual(new Set([newest]));
  });
});

describeWith(
  "openssl",
  "redis-server",
  "redis-cli",
)("the metrics of the original", () => {
  let sent: readonly LineForm[];

  beforeAll(async () => {
    sent = await sendEveryMetric(METRIC_NAME_ROWS.map(({ metric }) => metric));
  }, 180_000);

  testRows(METRIC_NAME_ROWS, ({ metric, tags }: MetricNameRow) => {
    const lines = sent.filter((line) => line.metric === metric);
    if (tags === undefined) {
      expect(lines).toEqual([]);
      return;
    }
    expect(lines).not.toEqual([]);
    for (const line of lines) {
      const own = tagNames(line).slice(0, -1);
      expect(own.filter((tag) => tags.includes(tag))).toEqual([...tags]);
      expect(tagNames(line).at(-1)).toBe("pod_name");
    }
  });
});
