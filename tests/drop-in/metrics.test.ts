import { beforeAll, describe, expect, test } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import { sendEveryMetric } from "../support/drop-in/every-metric.ts";
import { replayGoldenRequests } from "../support/drop-in/golden-requests.ts";
import { formatAs41, type LineForm, tagNames } from "../support/drop-in/metric-lines.ts";
import { testRows } from "../support/drop-in/row.ts";
import { GOLDEN_ROWS, type GoldenRow } from "./metrics.rows.ts";
import { METRIC_NAME_ROWS, type MetricNameRow } from "./metrics-names.rows.ts";

describe.each(["statsd", "datadog"] as const)("the recorded lines of %s", (sink) => {
  let sent: ReadonlySet<string>;

  beforeAll(async () => {
    sent = new Set((await replayGoldenRequests(sink)).map(formatAs41));
  }, 30_000);

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

describeWith(
  "openssl",
  "redis-server",
  "redis-cli",
)("the metrics of the original", () => {
  let sent: readonly LineForm[];

  beforeAll(async () => {
    sent = await sendEveryMetric(METRIC_NAME_ROWS.map(({ metric }) => metric));
  }, 60_000);

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
