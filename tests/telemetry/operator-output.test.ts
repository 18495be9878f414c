import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import { status as GrpcStatus } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const ask = (relay: RelayProcess, key: string) =>
  rawGet(`${relay.httpUrl}/v2/download_config_specs/${key}.json`);
const PATIENCE = { withinMs: 15_000 };
const linesWith = (relay: RelayProcess, text: string) =>
  relay
    .output()
    .split("\n")
    .filter((line) => line.includes(text));

describe("log output", () => {
  test("an outage is one line when it begins and one when it ends, even if unknown keys are requested meanwhile", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-held");
    await using relay = await startRelayProcess({ upstream });
    await ask(relay, key.sdkKey);
    upstream.misbehave(status(500));
    await eventually(
      () => expect(linesWith(relay, "upstream failing, serving last known config")).toHaveLength(1),
      PATIENCE,
    );
    for (const stranger of ["secret-stranger-1", "secret-stranger-2"]) {
      expect((await ask(relay, stranger)).status).toBe(503);
    }
    upstream.behave();
    await eventually(() => expect(linesWith(relay, "upstream recovered")).toHaveLength(1), PATIENCE);
    expect(linesWith(relay, "no config to serve")).toHaveLength(1);
  });

  test("the limit of streams is logged once when it is reached", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-streams");
    await using relay = await startRelayProcess({ upstream, args: ["-g", "1"] });
    using client = new GrpcClient(relay.grpcUrl);
    using first = client.streamConfigSpec({ sdkKey });
    await first.next();
    for (let i = 0; i < 3; i++) {
      using refused = client.streamConfigSpec({ sdkKey });
      expect((await refused.status()).code).toBe(GrpcStatus.RESOURCE_EXHAUSTED);
    }
    // The serving threads report such events within a moment.
    await eventually(
      () => expect(linesWith(relay, "--grpc-max-concurrent-streams")).toHaveLength(1),
      PATIENCE,
    );
    await Bun.sleep(100);
    expect(linesWith(relay, "--grpc-max-concurrent-streams")).toHaveLength(1);
  });

  test("an unknown environment variable is logged", async () => {
    await using upstream = await startUpstream();
    // Options are read from variables in upper case only, the original's variables in any case.
    const env = {
      SFP_POLING_INTERVAL_IN_S: "5",
      sfp_polling_interval_in_s: "5",
      sfp_startup_warmup_keys_json: "[]",
    };
    await using relay = await startRelayProcess({ upstream, env });
    await eventually(() => {
      for (const name of ["SFP_POLING_INTERVAL_IN_S", "sfp_polling_interval_in_s"]) {
        expect(linesWith(relay, `variable=${name}`)).toHaveLength(1);
      }
    });
    expect(linesWith(relay, "unknown environment variable")).toHaveLength(2);
  });

  test("HTTP/1.0 requests without Host, as probes of load balancers send them, are served", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-hostless");
    await using relay = await startRelayProcess({ upstream });
    for (const path of [
      "/v1/health",
      "/v1/startup",
      "/v1/ready",
      `/v2/download_config_specs/${sdkKey}.json`,
    ]) {
      const socket = connect(relay.httpPort, "127.0.0.1");
      await once(socket, "connect");
      socket.write(`GET ${path} HTTP/1.0\r\n\r\n`);
      expect((await buffer(socket)).toString()).toStartWith("HTTP/1.1 200");
    }
  });

  test("-u limits the requests to upstream in flight", async () => {
    await using upstream = await startUpstream();
    const gate = Promise.withResolvers<void>();
    upstream.misbehave({ kind: "none" }, { until: gate.promise });
    const keys = Array.from({ length: 12 }, (_, i) => publishKey(upstream, `secret-batch-${i}`).sdkKey);
    await using relay = await startRelayProcess({ upstream, args: ["-u", "3"] });
    const answers = Promise.all(keys.map((key) => ask(relay, key)));
    await eventually(() => expect(upstream.maxInFlight).toBe(3), PATIENCE);
    // Time for requests that exceed the limit. One that waits for a second would no longer count.
    await Bun.sleep(100);
    gate.resolve();
    expect(new Set((await answers).map((answer) => answer.status))).toEqual(new Set([200]));
    expect(upstream.maxInFlight).toBe(3);
  });

  test("cached JSON is served after a second if the protobuf request to upstream hangs", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-proto-hangs");
    await using relay = await startRelayProcess({ upstream });
    await ask(relay, key.sdkKey);
    upstream.misbehave({ kind: "hang" }, forKey(key.sdkKey));
    const began = performance.now();
    const answer = await rawGet(
      `${relay.httpUrl}/v2/download_config_specs/${key.sdkKey}.json?supports_proto=true`,
      {
        "accept-encoding": "statsig-br",
      },
    );
    expect([answer.status, answer.body.toString()]).toEqual([200, key.v2]);
    // It waits for up to 9 s if there is nothing to serve.
    expect(performance.now() - began).toBeWithin(900, 6_000);
  });
});

describeWith("redis-server")("with Redis", () => {
  const redisRelay = async (redis: RedisServer, options: { args?: string[]; db?: number } = {}) => {
    const upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-redis-output");
    const url = `redis://127.0.0.1:${redis.port}/${options.db ?? 0}`;
    const args = options.args ?? ["-r", "2"];
    const relay = await startRelayProcess({ upstream, cache: "redis", args, env: { REDIS_URL: url } });
    await ask(relay, sdkKey);
    return {
      relay,
      async [Symbol.asyncDispose]() {
        await relay[Symbol.asyncDispose]();
        await upstream[Symbol.asyncDispose]();
      },
    };
  };
  const keys = (redis: RedisServer) => redis.cli("--scan", "--pattern", "statsig[|:]*");

  test("a Redis that rejects writes is one line, and one when it accepts them again", async () => {
    await using redis = await RedisServer.start({ config: ["maxmemory 1", "maxmemory-policy noeviction"] });
    await using setup = await redisRelay(redis);
    const { relay } = setup;
    const isFull = () => expect(linesWith(relay, 'reason="Redis is out of memory"')).toHaveLength(1);
    await eventually(isFull, PATIENCE);
    await redis.cli("CONFIG", "SET", "maxmemory", "0");
    await eventually(() => expect(linesWith(relay, "Redis accepts writes again")).toHaveLength(1), PATIENCE);
    await eventually(async () => expect(await keys(redis)).toContain("statsig|"), PATIENCE);
  }, 60_000);

  test("a Redis that restarts empty gets everything again at once", async () => {
    await using redis = await RedisServer.start();
    await using _ = await redisRelay(redis, { args: ["-r", "30"] });
    await eventually(async () => expect(await keys(redis)).toContain("statsig|"), PATIENCE);
    await redis.restart();
    await eventually(async () => expect(await keys(redis)).toContain("statsig|"), PATIENCE);
  }, 60_000);

  test("a missing database does not fall back to database 0", async () => {
    await using redis = await RedisServer.start();
    await using setup = await redisRelay(redis, { db: 99 });
    await eventually(() => expect(setup.relay.output()).toContain("Redis has no such database"), PATIENCE);
    expect(await redis.cli("DBSIZE")).toBe("0");
  });

  test("--redis-cache-ttl-in-s and --double-write-cache-for-legacy-key take effect", async () => {
    await using redis = await RedisServer.start();
    await using _ = await redisRelay(redis, {
      args: [
        "--redis-cache-ttl-in-s",
        "500",
        "--double-write-cache-for-legacy-key",
        "--preload-sdk-keys",
        "secret-redis-output",
      ],
    });
    await eventually(async () => expect(await keys(redis)).toMatch(/statsig::[0-9a-f]{64}/), PATIENCE);
    for (const key of (await keys(redis)).split("\n"))
      expect(Number(await redis.cli("TTL", key))).toBeWithin(450, 501);
  });
});
