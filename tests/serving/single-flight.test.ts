import { describe, expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { listed } from "../support/id-lists/id-list-upstream.ts";
import { startThreadsRelay, THREADS } from "../support/serving/threads-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";

const MANY = 60;
const PATIENCE = { withinMs: 15_000 };
const each = Array.from({ length: MANY }, (_, at) => at);

test("clients of all threads that bring a key first at the same time cause one request to upstream, over HTTP and gRPC", async () => {
  await using started = await startThreadsRelay();
  const { upstream, relay } = started;
  const [http, grpc] = [await started.openHttp(), await started.openGrpc()];
  const { sdkKey, lcut } = publishKey(upstream, "secret-first-sight-0123456789");
  const path = `/v2/download_config_specs/${sdkKey}.json`;
  const gate = Promise.withResolvers<void>();
  upstream.misbehave(
    { kind: "none" },
    { when: (request) => request.path === path, until: gate.promise, times: 1 },
  );
  const answers = [
    ...http.map(async (connection) => (await connection.get(path)).headers.get("x-since-time")),
    ...each.map(async () => (await fetch(`${relay.httpUrl}${path}`)).headers.get("x-since-time")),
    ...grpc.map(async (client) => (await client.getConfigSpec({ sdkKey, version: 2 })).message.lastUpdated),
    ...grpc.map(
      async (client) => (await client.streamConfigSpec({ sdkKey, version: 2 }).next(10_000)).lastUpdated,
    ),
  ];
  await eventually(() => expect(upstream.count(path)).toBe(1), PATIENCE);
  // Requests that came later would cause a second one if the first did not count for their thread.
  await Bun.sleep(500);
  expect(upstream.count(path)).toBe(1);
  gate.resolve();
  expect(new Set((await Promise.all(answers)).map(Number))).toEqual(new Set([lcut]));
  expect(answers).toHaveLength(MANY + 3 * THREADS);
});

describe("ID lists over several threads", () => {
  const KEY = "secret-lists-0123456789";

  test("the manifest and each file are requested from upstream once", async () => {
    await using lists = await IdListRelay.start({
      values: { "proxy-id-lists": "true", "serving-threads": "3" },
    });
    const { upstream, url } = lists;
    upstream.put(KEY, "company_list", listed("one") + listed("two"));
    upstream.put(KEY, "other_list", listed("three"));
    const gate = Promise.withResolvers<void>();
    upstream.fault = async ({ path }) => {
      if (path === "/v1/get_id_lists") await gate.promise;
      return undefined;
    };
    const ask = async () => {
      const headers = { "statsig-api-key": KEY, connection: "close" };
      const answer = await fetch(`${url}/v1/get_id_lists`, { method: "POST", headers, body: "{}" });
      return (await answer.json()) as Readonly<Record<string, { url: string; size: number }>>;
    };
    const manifests = each.map(ask);
    await eventually(() => expect(upstream.manifestsAsked(KEY)).toBe(1), PATIENCE);
    await Bun.sleep(500);
    expect(upstream.manifestsAsked(KEY)).toBe(1);
    gate.resolve();
    expect(new Set((await Promise.all(manifests)).map((found) => JSON.stringify(found))).size).toBe(1);
    const { company_list: list } = await ask();
    const texts = await Promise.all(
      each.map(async () => (await fetch(list?.url ?? "", { headers: { connection: "close" } })).text()),
    );
    expect(new Set(texts)).toEqual(new Set([listed("one") + listed("two")]));
    expect(upstream.rangesAsked()).toEqual([null, null]);
    expect(upstream.manifestsAsked(KEY)).toBe(1);
  });
});
