import { afterAll, beforeAll, expect, test } from "bun:test";
import type { RedisKeySchema } from "../../src/redis/keys.ts";
import { textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const redisKey = (sdkKey: string, schema: RedisKeySchema = "v3"): string =>
  UNPREFIXED.entries(feedOf(sdkKey), [schema])[0].name;

describeWith("redis-server", "redis-cli")("An unusable or older entry", () => {
  let redis: RedisServer;
  let upstream: Upstream;
  beforeAll(async () => {
    redis = await RedisServer.start();
    upstream = await startUpstream();
  });
  afterAll(async () => {
    await upstream?.[Symbol.asyncDispose]();
    await redis?.[Symbol.asyncDispose]();
  });
  const start = (...args: string[]) =>
    startRelayProcess({
      upstream,
      cache: "redis",
      args,
      env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` },
    });
  const configIs = (key: string, config: string) =>
    eventually(async () => expect(await redis.cli("HGET", key, "config")).toBe(config));

  test("is rewritten by a running relay after any change", async () => {
    const { sdkKey } = publishKey(upstream, "secret-damaged-while-held");
    const current = publishKey(upstream, sdkKey, 5);
    const older = versionOf(sdkKey, 4);
    const key = redisKey(sdkKey);
    // With a TTL of 4 s, the entry is checked every second.
    await using relay = await start("--redis-cache-ttl-in-s", "4");
    await ask(relay, sdkKey);
    await configIs(key, current.v2);
    const damages = [
      ["HSET", key, "config", current.v2.slice(0, 100)],
      ["HDEL", key, "config"],
      ["HSET", key, "lcut", "no number"],
      ["DEL", key],
      ["SET", key, "a text"],
      // As an original relay does that fetched its config long ago.
      ["HSET", key, "encoding", "plain_text", "lcut", String(older.lcut), "config", older.v2],
    ];
    for (const damage of damages) {
      await redis.cli(...damage);
      await eventually(async () => {
        expect(await redis.cli("HMGET", key, "lcut", "config")).toBe(`${current.lcut}\n${current.v2}`);
      });
    }
  }, 30_000);

  test("is overwritten by a relay that could not use it after a restart and fetches the same version from upstream", async () => {
    const { sdkKey, lcut, v2 } = publishKey(upstream, "secret-damaged-before-start");
    const key = redisKey(sdkKey);
    // The right length, so that only reading all of it shows the damage.
    await redis.cli(
      "HSET",
      key,
      "lcut",
      String(lcut),
      "config",
      "x".repeat(v2.length),
      "encoding",
      "plain_text",
    );
    await upstream.stop();
    await using relay = await start();
    expect((await ask(relay, sdkKey)).status).toBe(503);
    await upstream.restart();
    await eventually(async () => expect(textOf(await ask(relay, sdkKey))).toBe(v2));
    await configIs(key, v2);
  }, 30_000);

  test("is kept if upstream rejects another key with the same first 20 characters", async () => {
    const { sdkKey, v2 } = publishKey(upstream, "secret-customer-number-1");
    const stranger = "secret-customer-number-2";
    const key = redisKey(sdkKey, "v4");
    expect(redisKey(stranger, "v4")).toBe(key);
    const options = ["--redis-key-schema", "v4", "--clear-datastore-on-unauthorized"];
    {
      // Removed before the other key is used: the relay would write the entry again.
      await using relay = await start(...options);
      await ask(relay, sdkKey);
      await configIs(key, v2);
    }
    await using relay = await start(...options);
    expect((await ask(relay, stranger)).status).toBe(401);
    // Removals are executed in the order in which they were requested.
    const { sdkKey: revoked } = publishKey(upstream, "revoked-at-once-by-upstream");
    await ask(relay, revoked);
    await eventually(async () => expect(await redis.cli("EXISTS", redisKey(revoked, "v4"))).toBe("1"));
    upstream.forget(revoked);
    await eventually(async () => expect(await redis.cli("EXISTS", redisKey(revoked, "v4"))).toBe("0"));
    expect(await redis.cli("HGET", key, "config")).toBe(v2);
  }, 30_000);
});
