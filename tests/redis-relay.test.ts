import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { ask, describeBackedUpRelay } from "./support/backed-up-relay.ts";
import { describeWith } from "./support/needs.ts";
import { publishKey, versionOf } from "./support/published-key.ts";
import { textOf } from "./support/raw-get.ts";
import { RedisServer } from "./support/redis-server.ts";
import { startRelayProcess } from "./support/relay-process.ts";
import { startUpstream } from "./support/upstream.ts";
import { eventually } from "./support/wait.ts";

describeWith("redis-server")("redis", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis[Symbol.asyncDispose]());
  const env = () => ({ REDIS_URL: `redis://127.0.0.1:${redis.port}` });
  describeBackedUpRelay("redis", () => ({ cache: "redis", env: env() }));

  test("the writer killed in the moment of an update: another relay takes over, and no version is lost", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-takeover");
    const start = () => startRelayProcess({ upstream, cache: "redis", args: ["-r", "1"], env: env() });
    await using writer = await start();
    await using other = await start();
    for (const relay of [writer, other]) await ask(relay, sdkKey);
    const newer = publishKey(upstream, sdkKey, 1);
    upstream.forgetRequests();
    await eventually(() => expect(upstream.requests.length).toBeGreaterThan(0), { everyMs: 1 });
    await writer.kill();
    const owner = createHash("sha256").update(sdkKey).digest("base64");
    const key = `statsig|/v2/download_config_specs|plain_text|${owner}`;
    await eventually(async () => expect(await redis.cli("HGET", key, "config")).toBe(newer.v2));
  });

  test("poisoned by hand: never served, reported, and overwritten by the next version", async () => {
    await using upstream = await startUpstream();
    const [first, other] = [publishKey(upstream, "secret-poisoned"), versionOf("secret-somebody-else", 5)];
    const owner = createHash("sha256").update(first.sdkKey).digest("base64");
    const key = `statsig|/v2/download_config_specs|plain_text|${owner}`;
    const poisons = [
      ["SET", key, "a string"],
      ["HSET", key, "lcut", String(other.lcut), "config", first.v2.slice(0, 100), "encoding", "plain_text"],
      ["HSET", key, "lcut", String(other.lcut), "config", other.v2, "encoding", "plain_text"],
      ["HSET", key, "lcut", "abc", "config", first.v2, "encoding", "plain_text"],
    ];
    for (const poison of poisons) {
      await redis.cli("DEL", key);
      await redis.cli(...poison);
      await upstream.stop();
      await using relay = await startRelayProcess({
        upstream,
        cache: "redis",
        args: ["-r", "1"],
        env: env(),
      });
      expect((await ask(relay, first.sdkKey)).status).toBe(503);
      expect(relay.output()).toContain("an entry of the backup can't be used, it is not served");
      await upstream.restart();
      await eventually(async () => expect(textOf(await ask(relay, first.sdkKey))).toBe(first.v2));
      await eventually(async () => expect(await redis.cli("HGET", key, "config")).toBe(first.v2));
    }
  }, 30_000);
});
