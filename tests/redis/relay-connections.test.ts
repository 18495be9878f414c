import { describe, expect, test } from "bun:test";
import { textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { createRedisCertificates } from "../support/redis/redis-certificates.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisSentinels } from "../support/redis/redis-sentinels.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { FixedReplyServer } from "../support/upstream/fixed-reply-server.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

type Environment = Readonly<Record<string, string>>;

const nodesOf = (servers: readonly RedisServer[]) => servers.map(({ port }) => `127.0.0.1:${port}`).join(",");

/** One relay stores a version. Another one, which cannot reach upstream, serves it. */
async function expectBacksUp(env: Environment): Promise<void> {
  await using upstream = await startUpstream();
  const { sdkKey, v2 } = publishKey(upstream, "secret-connections");
  {
    await using relay = await startRelayProcess({ upstream, cache: "redis", env });
    expect(textOf(await ask(relay, sdkKey))).toBe(v2);
    expect(await relay.stop()).toBe(0);
  }
  await upstream.stop();
  await using relay = await startRelayProcess({ upstream, cache: "redis", env });
  expect(textOf(await ask(relay, sdkKey))).toBe(v2);
}

describeWith(
  "redis-server",
  "redis-cli",
  "redis-sentinel",
  "openssl",
)("relays back each other up by", () => {
  test("Redis over TLS, with a client certificate", async () => {
    using certificates = createRedisCertificates();
    const { client } = certificates;
    await using redis = await RedisServer.start({ tls: certificates });
    await expectBacksUp({
      REDIS_URL: `rediss://127.0.0.1:${redis.port}`,
      REDIS_TLS_CA_PATH: client.caPath ?? "",
      REDIS_TLS_CERT_PATH: client.certPath ?? "",
      REDIS_TLS_KEY_PATH: client.keyPath ?? "",
    });
  }, 30_000);

  test("a Redis Cluster", async () => {
    await using cluster = await RedisCluster.start();
    await expectBacksUp({ REDIS_CLUSTER_NODES: nodesOf(cluster.nodes) });
  }, 45_000);

  test("Redis that Sentinels find", async () => {
    await using redis = await RedisSentinels.start();
    await expectBacksUp({
      REDIS_SENTINELS: nodesOf(redis.sentinels),
      REDIS_SENTINEL_MASTER: "mymaster",
    });
  }, 45_000);
});

describe("a server that is not a Redis, at the address of Redis", () => {
  test.each([
    ["a web server", "HTTP/1.1 400 Bad Request\r\n\r\n"],
    ["more replies than commands", "+OK\r\n".repeat(20)],
    ["a push without a channel", ">1\r\n+subscribe\r\n"],
    ["slots of a Cluster with odd nodes", "*1\r\n*3\r\n:0\r\n:16383\r\n$-1\r\n"],
  ])(
    "%s: the relay serves from memory, and ends as usual",
    async (_, answer) => {
      await using server = await FixedReplyServer.start(answer);
      await using upstream = await startUpstream();
      const { sdkKey, v2 } = publishKey(upstream, "secret-no-redis");
      const address = `127.0.0.1:${server.port}`;
      const environments: readonly Environment[] = [
        { REDIS_URL: `redis://${address}` },
        { REDIS_CLUSTER_NODES: address },
        { REDIS_SENTINELS: address, REDIS_SENTINEL_MASTER: "mymaster" },
      ];
      await Promise.all(
        environments.map(async (env) => {
          await using relay = await startRelayProcess({ upstream, cache: "redis", env });
          expect(textOf(await ask(relay, sdkKey))).toBe(v2);
          await eventually(() => expect(relay.output()).toContain("Redis unavailable"));
          expect(textOf(await ask(relay, sdkKey))).toBe(v2);
          expect(await relay.stop()).toBe(0);
        }),
      );
    },
    30_000,
  );
});
