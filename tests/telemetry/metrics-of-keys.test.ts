import { expect, test } from "bun:test";
import { maskSdkKey, type SdkKey } from "../../src/access/sdk-key.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { createUnknownKey, KeyFile, specsOf } from "../support/relay/access.ts";
import { type RelayOptions, startRelayProcess } from "../support/relay/relay-process.ts";
import { readMetrics, type Sample } from "../support/telemetry/metrics-page.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const startMeasured = async ({ args = [], ...options }: RelayOptions) =>
  startRelayProcess({ ...options, args: ["--management-port", String(await freePort()), ...args] });

const keysIn = (samples: readonly Sample[], name = "") =>
  new Set(
    samples.filter((sample) => sample.name.includes(name)).flatMap(({ labels }) => labels["sdk_key"] ?? []),
  );

const masked = (key: string) => maskSdkKey(key as SdkKey);

test("a key that is taken off the list of allowed ones is in no metric any more, the others are", async () => {
  await using upstream = await startUpstream();
  const [staying, going] = ["secret-staying-here", "secret-going-away"];
  for (const key of [staying, going]) publishKey(upstream, key);
  using allowed = new KeyFile([staying, going]);
  await using relay = await startMeasured({ upstream, args: ["--allowed-sdk-keys", `@${allowed.path}`] });
  for (const key of [staying, going]) expect((await specsOf(relay, key)).status).toBe(200);
  expect(keysIn(await readMetrics(relay))).toEqual(new Set([masked(staying), masked(going)]));
  allowed.write(staying);
  await eventually(async () => {
    expect(keysIn(await readMetrics(relay))).toEqual(new Set([masked(staying)]));
  });
  // Answered, and counted among those of whom nothing is known.
  expect((await specsOf(relay, going)).status).toBe(401);
  expect(keysIn(await readMetrics(relay), "RequestFailed")).toEqual(new Set(["unknown"]));
});

test("a key that made room for another, and is asked for again, is counted where it is shown", async () => {
  await using upstream = await startUpstream();
  const [first, second] = ["secret-number-one", "secret-number-two"];
  for (const key of [first, second]) publishKey(upstream, key);
  await using relay = await startMeasured({
    upstream,
    args: ["-m", "1", "--unknown-key-rate-per-s", "10000"],
  });
  for (const key of [first, first, second, first, first, first]) {
    expect((await specsOf(relay, key)).status).toBe(200);
  }
  const requests = (await readMetrics(relay)).filter(({ name }) => name.includes("RequestSuccess_count"));
  // Since it came back. What was counted of the other went with it, but for what was answered after it had gone.
  expect(
    requests.filter(({ labels }) => labels["sdk_key"] === masked(first)).map(({ value }) => value),
  ).toEqual([3]);
  expect(requests.filter(({ labels }) => labels["sdk_key"] === masked(second))).toEqual([]);
});

describeWith("redis-server")("with Redis", () => {
  test("strangers whose keys are looked for there are one series", async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    upstream.misbehave(status(500));
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    await using relay = await startMeasured({ upstream, env, cache: "redis" });
    await Promise.all(Array.from({ length: 30 }, () => specsOf(relay, createUnknownKey())));
    await eventually(async () => {
      expect(keysIn(await readMetrics(relay), "RedisCacheReadMiss")).toEqual(new Set(["unknown"]));
    });
    expect(keysIn(await readMetrics(relay))).toEqual(new Set(["unknown"]));
  });
});
