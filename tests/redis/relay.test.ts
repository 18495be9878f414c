import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { describeBackedUpDeltas } from "../support/relay/backed-up-deltas.ts";
import { ask, describeBackedUpRelay } from "../support/relay/backed-up-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

describeWith("redis-server")("redis", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis[Symbol.asyncDispose]());
  const env = () => ({ REDIS_URL: `redis://127.0.0.1:${redis.port}` });
  const backup = () => ({ cache: "redis", env: env() }) as const;
  describeBackedUpRelay("redis", backup);
  describeBackedUpDeltas("redis", backup);

  test("the writer is killed during an update: another relay takes over, and no version is lost", async () => {
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

  test("a key that one relay removed because upstream rejects it is not written again by another relay", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-revoked-by-one");
    const start = (pollIntervalS: number, ...args: string[]) =>
      startRelayProcess({
        upstream,
        cache: "redis",
        pollIntervalS,
        // Every second the relay checks that Redis has its versions.
        args: ["--redis-cache-ttl-in-s", "4", ...args],
        env: env(),
      });
    await using unaware = await start(60);
    await using clearing = await start(1, "--clear-datastore-on-unauthorized");
    for (const relay of [unaware, clearing]) expect((await ask(relay, sdkKey)).status).toBe(200);
    const owner = createHash("sha256").update(sdkKey).digest("base64");
    const key = `statsig|/v2/download_config_specs|plain_text|${owner}`;
    await eventually(async () => expect(await redis.cli("EXISTS", key)).toBe("1"));
    upstream.forget(sdkKey);
    await eventually(async () => expect((await ask(clearing, sdkKey)).status).toBe(401));
    await eventually(() => expect(unaware.output()).toContain("backup entry removed by another relay"));
    for (let look = 0; look < 25; look++) {
      expect(await redis.cli("EXISTS", key)).toBe("0");
      await Bun.sleep(100);
    }
    // That relay still serves the last known config.
    expect((await ask(unaware, sdkKey)).status).toBe(200);
    // Once the key is valid again, the entry is back as soon as upstream confirms it to any relay.
    publishKey(upstream, sdkKey);
    await eventually(async () => expect((await ask(clearing, sdkKey)).status).toBe(200), {
      withinMs: 60_000,
    });
    await eventually(async () => expect(await redis.cli("EXISTS", key)).toBe("1"));
  }, 100_000);

  test("an invalid entry is never served, is reported, and is overwritten by the next version", async () => {
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
      await redis.cli("FLUSHALL");
      await redis.cli(...poison);
      await upstream.stop();
      await using relay = await startRelayProcess({
        upstream,
        cache: "redis",
        args: ["-r", "1"],
        env: env(),
      });
      expect((await ask(relay, first.sdkKey)).status).toBe(503);
      await eventually(() => expect(relay.output()).toContain("backup entry unusable, not served"));
      await upstream.restart();
      await eventually(async () => expect(textOf(await ask(relay, first.sdkKey))).toBe(first.v2));
      await eventually(async () => expect(await redis.cli("HGET", key, "config")).toBe(first.v2));
    }
  }, 60_000);
});
