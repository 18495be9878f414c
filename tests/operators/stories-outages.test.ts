import { expect, test } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { StoryRelay } from "../support/operators/managed.ts";
import { Story } from "../support/operators/story.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-of-the-story";

const lcutServed = async (relay: StoryRelay) => {
  const response = await fetch(`${relay.process.httpUrl}/v2/download_config_specs/${KEY}.json`);
  return ((await response.json()) as { time: number }).time;
};

describeWith(
  "curl",
  "jq",
  "redis-server",
  "redis-cli",
)("docs/operations.md, Redis: what to do when", () => {
  test("Redis is lost or replaced", async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    const { lcut } = publishKey(upstream, KEY);
    const env = {
      REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      STATSIG_ENDPOINT: upstream.url,
      LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
    };
    await using relay = await StoryRelay.start({ cache: "redis", mode: "http", env });
    await using story = await Story.open("Redis is lost or replaced");
    await story.set({ key: KEY, places: relay.places, env });
    expect(await lcutServed(relay)).toBe(lcut);
    await redis.kill();
    await eventually(() => expect(relay.process.output()).toContain("Redis unavailable"));
    expect(await lcutServed(relay)).toBe(lcut);
    await redis.restart();
    await eventually(() => expect(relay.process.output()).toContain("Redis available"));
    await story.run();
    expect(await story.run()).toContain("statsig|/v2/download_config_specs|plain_text|");
    story.finished();
  });
});
