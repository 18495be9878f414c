import { expect, test } from "bun:test";
import { maskSdkKey, type SdkKey } from "../../src/access/sdk-key.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { createUnknownKey, KeyFile, specsOf } from "../support/relay/access.ts";
import { type RelayOptions, startRelayProcess } from "../support/relay/relay-process.ts";
import { readMetrics, type Sample } from "../support/telemetry/metrics-page.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const PATIENCE = { withinMs: 15_000 };

const startMeasured = async ({ args = [], ...options }: RelayOptions) =>
  startRelayProcess({ ...options, args: ["--management-port", String(await freePort()), ...args] });

const keysIn = (samples: readonly Sample[], name = "") =>
  new Set(
    samples.filter((sample) => sample.name.includes(name)).flatMap(({ labels }) => labels["sdk_key"] ?? []),
  );

const masked = (key: string) => maskSdkKey(key as SdkKey);

test("a key that is removed from the allow list disappears from all metrics, whatever of it ends afterwards", async () => {
  await using upstream = await startUpstream();
  const [staying, going] = ["secret-staying-here", "secret-going-away"];
  for (const key of [staying, going]) publishKey(upstream, key);
  using allowed = new KeyFile([staying, going]);
  await using relay = await startMeasured({ upstream, args: ["--allowed-sdk-keys", `@${allowed.path}`] });
  for (const key of [staying, going]) expect((await specsOf(relay, key)).status).toBe(200);
  using client = new GrpcClient(relay.grpcUrl);
  using stream = client.streamConfigSpec({ sdkKey: going });
  await stream.next();
  expect(keysIn(await readMetrics(relay))).toEqual(new Set([masked(staying), masked(going)]));
  // A poll is in flight when the relay notices the change, and ends after that.
  const gate = Promise.withResolvers<void>();
  upstream.misbehave({ kind: "none" }, { ...forKey(going), until: gate.promise });
  const polled = upstream.requests.length;
  const isPolled = () => expect(upstream.requests.slice(polled).some(forKey(going).when)).toBeTrue();
  await eventually(isPolled, PATIENCE);
  allowed.write(staying);
  const remaining = async () =>
    (await readMetrics(relay)).filter(({ labels }) => labels["sdk_key"] === masked(going));
  // A sink that keeps last values has to learn that the streams have ended.
  const ended = [expect.objectContaining({ name: expect.stringMatching(/ActiveStreams/), value: 0 })];
  await eventually(async () => expect(await remaining()).toEqual(ended), PATIENCE);
  // The stream and the poll end after that.
  await eventually(() => expect(relay.openConnections("grpc")).toBeLessThanOrEqual(1), PATIENCE);
  gate.resolve();
  await Bun.sleep(1_500);
  expect(await remaining()).toEqual(ended);
  // Rejected, and counted as an unknown key.
  expect((await specsOf(relay, going)).status).toBe(401);
  await eventually(async () => {
    expect(keysIn(await readMetrics(relay), "RequestFailed")).toEqual(new Set(["unknown"]));
  }, PATIENCE);
}, 60_000);

test("an evicted key that is requested again has a new series", async () => {
  await using upstream = await startUpstream();
  const [first, second] = ["secret-number-one", "secret-number-two"];
  for (const key of [first, second]) publishKey(upstream, key);
  await using relay = await startMeasured({
    upstream,
    args: ["-m", "1", "--unknown-key-rate-per-s", "10000"],
  });
  const askFor = async (...keys: readonly string[]) => {
    for (const key of keys) expect((await specsOf(relay, key)).status).toBe(200);
  };
  const expectCounted = (counted: readonly (readonly [key: string, requests: readonly number[]])[]) =>
    eventually(async () => {
      const samples = (await readMetrics(relay)).filter(({ name }) => name.includes("RequestSuccess_count"));
      for (const [key, requests] of counted) {
        const ofKey = samples.filter(({ labels }) => labels["sdk_key"] === masked(key));
        expect(ofKey.map(({ value }) => value)).toEqual([...requests]);
      }
    }, PATIENCE);
  await askFor(first, first);
  // What the serving threads have counted until now is in the series that is removed with the key.
  await expectCounted([[first, [2]]]);
  await askFor(second, first, first, first);
  // Only requests since it came back are counted. The series of the other key was removed with that key.
  await expectCounted([
    [first, [3]],
    [second, []],
  ]);
});

describeWith("redis-server")("with Redis", () => {
  test("reads for unknown keys share one series", async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    upstream.misbehave(status(500));
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    await using relay = await startMeasured({ upstream, env, cache: "redis" });
    await Promise.all(Array.from({ length: 30 }, () => specsOf(relay, createUnknownKey())));
    await eventually(async () => {
      expect(keysIn(await readMetrics(relay), "RedisCacheReadMiss")).toEqual(new Set(["unknown"]));
    }, PATIENCE);
    expect(keysIn(await readMetrics(relay))).toEqual(new Set(["unknown"]));
  });
});
