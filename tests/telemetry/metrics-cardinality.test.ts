import { expect, test } from "bun:test";
import { rawGet } from "../support/clients/raw-get.ts";
import { flood } from "../support/clients/request-flood.ts";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { readMetrics, type Sample, sumOf } from "../support/telemetry/metrics-page.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const MAX_SERIES = 300;
const PATIENCE = { withinMs: 20_000, everyMs: 100 };
const KNOWN_KEYS = Array.from({ length: 120 }, (_, at) => `secret-known-number-${at}`);
const UNKNOWN_KEYS = 100_000;
const CODINGS = ["gzip", "br", "zstd", "deflate", "statsig-br", "identity"];
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/** Requests for unknown keys; each has another key, path and Accept-Encoding. */
function* unknownKeyRequests(): Generator<string> {
  for (let at = 0; at < UNKNOWN_KEYS; at++) {
    const key = `secret-stranger-${at}`;
    const path = [
      `/v${1 + (at % 2)}/download_config_specs/${key}.json?sinceTime=${at}`,
      `/v1/nothing-here-${at}`,
      `/v${at}/download_config_specs`,
      "/v1/log_event",
    ][at % 4];
    const offered = CODINGS.filter((_, bit) => (at >> bit) % 2 === 1);
    yield [
      `${METHODS[at % METHODS.length]} ${path} HTTP/1.1`,
      "Host: relay",
      `statsig-api-key: ${key}`,
      `Accept-Encoding: ${[...offered, `x-${at}`].join(", ")}`,
      "Content-Length: 0\r\n\r\n",
    ].join("\r\n");
  }
}

/** Requests for known keys with every combination of content codings. */
function* knownKeyRequests(): Generator<string> {
  for (const key of KNOWN_KEYS) {
    for (let codings = 0; codings < 2 ** CODINGS.length; codings++) {
      const offered = CODINGS.filter((_, bit) => (codings >> bit) % 2 === 1).join(", ");
      const path = `/v1/download_config_specs/${key}.json?sinceTime=99999999999999`;
      yield `GET ${path} HTTP/1.1\r\nHost: relay\r\nAccept-Encoding: ${offered}\r\n\r\n`;
    }
  }
}

/** How many series each metric has, buckets and sums of a latency not counted apart. */
function seriesCounts(samples: readonly Sample[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name, labels } of samples) {
    if ("le" in labels || name.endsWith("_sum")) continue;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

test("100,000 different keys, paths and headers make no more series than the limit, and are all counted", async () => {
  await using upstream = await startUpstream();
  for (const key of KNOWN_KEYS) publishKey(upstream, key);
  const port = String(await freePort());
  const args = [
    "--management-port",
    port,
    "--metrics-max-series",
    String(MAX_SERIES),
    "-m",
    "150",
    "-p",
    "60",
  ];
  await using relay = await startRelayProcess({ upstream, mode: "http", args });
  for (const key of KNOWN_KEYS) await rawGet(`${relay.httpUrl}/v1/download_config_specs/${key}.json`);
  const before = relay.rssBytes();

  const unknownResponses = await flood(relay.httpUrl, unknownKeyRequests(), 32);
  const knownResponses = await flood(relay.httpUrl, knownKeyRequests(), 32);

  const knownCount = KNOWN_KEYS.length * 2 ** CODINGS.length;
  const samples = await eventually(async () => {
    const read = await readMetrics(relay);
    const counted =
      sumOf(read, "HttpServerRequestSuccess_count_total") +
      sumOf(read, "HttpServerRequestFailed_count_total");
    expect(counted).toBe(UNKNOWN_KEYS + knownCount + KNOWN_KEYS.length);
    return read;
  }, PATIENCE);
  for (const [name, count] of seriesCounts(samples))
    expect([name, count <= MAX_SERIES]).toEqual([name, true]);
  expect([...unknownResponses.values()].reduce((sum, count) => sum + count)).toBe(UNKNOWN_KEYS);
  expect(knownResponses).toEqual(new Map([[200, knownCount]]));
  // Unknown keys did not use up the series of known keys, nor the other way around.
  const successes = samples.filter(({ name }) => name.endsWith("HttpServerRequestSuccess_count_total"));
  expect(new Set(successes.map(({ labels }) => labels["sdk_key"]?.split("*")[0]))).toContain("secret-kno");
  expect(sumOf(samples, "HttpServerRequestFailed_count_total", { sdk_key: "unknown" })).toBeGreaterThan(
    1_000,
  );
  expect(JSON.stringify(samples)).not.toMatch(/secret-str|nothing-here/);
  // Garbage goes, series stay.
  const maxGrowthBytes = (isOnDeno ? 200 : 100) * 1024 * 1024;
  await eventually(() => expect(relay.rssBytes() - before).toBeLessThan(maxGrowthBytes), PATIENCE);
}, 180_000);
