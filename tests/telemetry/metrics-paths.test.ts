import { expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { readMetrics } from "../support/telemetry/metrics-page.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-path-of-metrics";

test("requests have the path of their route, without the SDK key or ID at its end", async () => {
  await using upstream = await startUpstream();
  const port = await freePort();
  await using relay = await startRelayProcess({
    upstream,
    mode: "http",
    args: ["--management-port", String(port)],
  });
  for (const path of [
    "/v1/get_id_lists",
    `/v1/get_id_lists/${KEY}.json`,
    "/v1/download_id_list_file/an-id",
    "//v1/download_id_list_file//an%2Fid/",
    `/v2/download_config_specs_deltas/${KEY}.json`,
    "/v1/get_id_listsX",
    "/v1/download_id_list_files/an-id",
    `/v1/nothing/${KEY}`,
  ]) {
    await fetch(`${relay.httpUrl}${path}`, { headers: { "statsig-api-key": KEY } });
  }
  await eventually(
    async () => {
      const counts = new Map<string, number>();
      for (const { name, labels, value } of await readMetrics(relay)) {
        const path = labels["path"];
        if (!/HttpServerRequest\w+_count_total$/.test(name) || path === undefined) continue;
        counts.set(path, (counts.get(path) ?? 0) + value);
      }
      expect(Object.fromEntries(counts)).toEqual({
        "/v1/get_id_lists": 2,
        "/v1/download_id_list_file": 2,
        "/v2/download_config_specs_deltas": 1,
        other: 3,
      });
    },
    { withinMs: 15_000 },
  );
});
