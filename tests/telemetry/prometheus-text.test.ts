import { expect, test } from "bun:test";
import { formatPrometheus } from "../../src/telemetry/metrics/prometheus.ts";
import { MetricRegistry } from "../../src/telemetry/metrics/registry.ts";

/** Returns the lines of one metric. */
async function shown(registry: MetricRegistry, name: string): Promise<string[]> {
  const lines = (await formatPrometheus(registry)).split("\n");
  return lines.filter((line) => line.includes(`statsig_forward_proxy_${name}_`));
}

const empty = () => new MetricRegistry({ maxSeries: 300, keepsSamples: false });

test("counts, gauges and latencies are in the Prometheus text format", async () => {
  const registry = empty();
  registry.count("LogEventDropped", { reason: "refused" }, 3);
  registry.gauge("SdkKeysHeld", () => [[{}, 2]]);
  registry.time("GrpcServerRequest", { sdk_key: "k", path: "/v1", code: "ok" }, 0.25);
  registry.time("GrpcServerRequest", { sdk_key: "k", path: "/v1", code: "ok" }, 7);
  expect(await shown(registry, "LogEventDropped")).toEqual([
    "# HELP statsig_forward_proxy_LogEventDropped_count_total Log events dropped for good",
    "# TYPE statsig_forward_proxy_LogEventDropped_count_total counter",
    'statsig_forward_proxy_LogEventDropped_count_total{reason="refused"} 3',
  ]);
  expect((await shown(registry, "SdkKeysHeld")).slice(1)).toEqual([
    "# TYPE statsig_forward_proxy_SdkKeysHeld_gauge gauge",
    "statsig_forward_proxy_SdkKeysHeld_gauge 2",
  ]);
  const latency = (await shown(registry, "GrpcServerRequest")).filter((line) => /^\w+_latency/.test(line));
  const labels = 'sdk_key="k",path="/v1",code="ok"';
  const ends = "0.1 0.5 1 5 10 50 100 500 1000 5000 10000 60000 +Inf".split(" ");
  const upTo = [0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2];
  expect(latency.map((line) => line.replace("statsig_forward_proxy_GrpcServerRequest_latency", ""))).toEqual([
    ...ends.map((end, at) => `_bucket{${labels},le="${end}"} ${upTo[at]}`),
    `_sum{${labels}} 7.25`,
    `_count{${labels}} 2`,
  ]);
});

test("tags become labels, with dashes replaced and values escaped", async () => {
  const registry = empty();
  registry.time(
    "HttpServerRequestFailed",
    {
      sdk_key: "unknown",
      path: 'a"b\\c\nd',
      status_code: "404",
      "accept-encoding": "none",
      "content-encoding": "identity",
    },
    1,
  );
  const [line] = (await shown(registry, "HttpServerRequestFailed")).filter((each) =>
    each.includes("_total{"),
  );
  expect(line).toEndWith(
    '{sdk_key="unknown",path="a\\"b\\\\c\\nd",status_code="404",accept_encoding="none",content_encoding="identity"} 1',
  );
});

test("a count without tags is exported as 0 from the start", async () => {
  expect(await shown(empty(), "CertificateRefused")).toContain(
    "statsig_forward_proxy_CertificateRefused_count_total 0",
  );
});

test("formatting many series yields to the event loop", async () => {
  const registry = new MetricRegistry({ maxSeries: 10_000, keepsSamples: false });
  for (let at = 0; at < 2_000; at++)
    registry.time("HttpDataProviderNoData", { sdk_key: `k${at}`, path: "/v1" }, 1);
  let turns = 0;
  const counting = setInterval(() => turns++, 0);
  const text = await formatPrometheus(registry);
  clearInterval(counting);
  expect(text.match(/NoData_latency_bucket/g)).toHaveLength(2_000 * 13);
  expect(turns).toBeGreaterThan(5);
});
