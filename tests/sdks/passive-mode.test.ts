import { afterAll, beforeAll, expect, test } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { startCoreSdk } from "../support/sdks/core-sdk.ts";
import { legacySyncIntervalMs, startLegacySdk } from "../support/sdks/legacy-sdk.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { correct, revision, seenBy } from "../support/upstream/revisions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

/** Nothing listens at this address, so an SDK can only get its config from Redis. */
const NOWHERE = "http://127.0.0.1:9";
const KEYS = {
  core: "secret-passive-core",
  coreV4: "secret-passive-core-by-v4",
  legacy: "secret-passive-legacy",
};

describeWith("redis-server", "node")("SDKs that read Redis with the shipped examples", () => {
  let redis: RedisServer;
  let upstream: Upstream;
  let relay: RelayProcess;
  const redisUrl = () => `redis://127.0.0.1:${redis.port}`;

  const publish = (number: number) => {
    for (const sdkKey of Object.values(KEYS)) {
      upstream.publish(sdkKey, "v1", specV1(revision(sdkKey, number)));
      upstream.publish(sdkKey, "v2", specV2(revision(sdkKey, number)));
    }
  };

  beforeAll(async () => {
    [redis, upstream] = await Promise.all([RedisServer.start(), startUpstream()]);
    publish(1);
    relay = await startRelayProcess({
      upstream,
      cache: "redis",
      mode: "http",
      args: ["--preload-sdk-keys", Object.values(KEYS).join(",")],
      env: { REDIS_URL: redisUrl() },
    });
    await eventually(async () => expect(await redis.cli("DBSIZE")).toBe("14"));
  });
  afterAll(async () => {
    for (const each of [relay, upstream, redis]) await each[Symbol.asyncDispose]();
  });

  test("--preload-sdk-keys fills Redis without a client: two keys for each feed", async () => {
    expect(
      await redis.cli("EXISTS", "statsig|/v2/download_config_specs|plain_text|secret-passive-core-"),
    ).toBe("1");
  });

  const dataStore = {
    specAdaptersConfig: [{ adapterType: "data_store", initTimeoutMs: 15_000 }],
    disableNetwork: true,
  };

  test.each([
    ["core", KEYS.core, {}],
    ["core with dataStoreKeySchemaVersion v3", KEYS.coreV4, { dataStoreKeySchemaVersion: "v3" }],
  ])(
    "%s evaluates gates from Redis alone and follows an update",
    async (_, sdkKey, options) => {
      publish(1);
      await using sdk = await startCoreSdk({
        sdkKey,
        httpUrl: NOWHERE,
        options: { ...dataStore, ...options, redisUrl: redisUrl() },
      });
      expect(sdk.initialised).toMatchObject({ ok: true });
      // What the test before has published may arrive between two evaluations.
      const { before, number } = await eventually(async () => {
        const seen = await seenBy(sdk);
        const seenNumber = ((seen.lcut ?? 0) - revision(sdkKey, 0).lcut) / 60_000;
        expect(seen).toEqual(correct(revision(sdkKey, seenNumber)));
        return { before: seen, number: seenNumber };
      });
      expect(before.lcut).toBeGreaterThanOrEqual(revision(sdkKey, 1).lcut);
      publish(number + 1);
      await eventually(async () => expect(await seenBy(sdk)).toEqual(correct(revision(sdkKey, number + 1))), {
        withinMs: 20_000,
      });
    },
    60_000,
  );

  test("statsig-node evaluates gates from Redis alone and follows an update", async () => {
    const { legacy: sdkKey } = KEYS;
    const options = { redisUrl: redisUrl(), initStrategyForIDLists: "lazy" };
    await using sdk = await startLegacySdk({ sdkKey, httpUrl: NOWHERE, options });
    expect(sdk.initialised).toMatchObject({ ok: true });
    const before = await sdk.config("config_public");
    const number = Number(String(before.value["color"]).split(" ")[1]);
    publish(number + 1);
    const expected = revision(sdkKey, number + 1);
    await eventually(
      async () => {
        expect((await sdk.config("config_public")).value["color"]).toBe(expected.color);
        expect((await sdk.gate("gate_public")).value).toBe(expected.gateValue);
      },
      { withinMs: 4 * legacySyncIntervalMs },
    );
  }, 60_000);
});
