import { expect, test } from "bun:test";
import { join } from "node:path";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { StoryRelay } from "../support/operators/managed.ts";
import { Story } from "../support/operators/story.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-of-the-story";

/** Returns the version that a relay serves, and from where. */
async function served(httpUrl: string) {
  const response = await fetch(`${httpUrl}/v2/download_config_specs/${KEY}.json`);
  return [((await response.json()) as { time: number }).time, response.headers.get("x-sfp-source")];
}

async function problemsOf({ process }: StoryRelay): Promise<readonly unknown[]> {
  const response = await fetch(`${process.urlOf("management")}/status.json`);
  return ((await response.json()) as { problems: readonly unknown[] }).problems;
}

const lcutServed = async ({ process }: StoryRelay) => (await served(process.httpUrl))[0];

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
    await story.runUntil((shown) => expect(shown).toContain("statsig|/v2/download_config_specs|plain_text|"));
    story.finished();
  }, 60_000);
});

describeWith("curl", "jq")("docs/operations.md: what to do when", () => {
  test("Statsig is unreachable for a day", async () => {
    await using upstream = await startUpstream();
    const { lcut } = publishKey(upstream, KEY);
    await using story = await Story.open("Statsig is unreachable for a day");
    const args = ["--local-cache-path", join(story.work, "cache")];
    await using relay = await StoryRelay.start({ upstream, cache: "local", mode: "http", args });
    expect(await lcutServed(relay)).toBe(lcut);
    await upstream.stop();
    await eventually(() => expect(relay.process.output()).toContain("upstream failing"));
    await relay.restart("SIGKILL");
    expect(await lcutServed(relay)).toBe(lcut);
    await eventually(async () => expect(await problemsOf(relay)).not.toEqual([]), { withinMs: 20_000 });
    await story.set({ key: KEY, places: relay.places });
    const shown = await story.run();
    expect(shown).toContain(`x-since-time: ${lcut}`);
    expect(shown).toContain("x-sfp-source: local");
    expect(shown).toContain("unreachable");
    expect(await story.run()).toContain(String(lcut));
    await upstream.restart();
    const newer = publishKey(upstream, KEY, 1);
    await eventually(async () => expect(await lcutServed(relay)).toBe(newer.lcut));
    expect(await story.run()).toContain("x-sfp-confirmed-at: ");
    story.finished();
  });

  test("Redis, Statsig and the relays are gone at once", async () => {
    await using upstream = await startUpstream();
    const { lcut } = publishKey(upstream, KEY);
    await using story = await Story.open("Redis, Statsig and the relays are gone at once");
    {
      await using before = await StoryRelay.start({ upstream, mode: "http" });
      expect(await lcutServed(before)).toBe(lcut);
      await story.set({ key: KEY, places: before.places });
      await story.execute("statsig-forward-proxy dump --out /var/backups/statsig --from $relay");
    }
    await upstream.stop();
    await story.set({ key: KEY, places: {}, env: { STATSIG_ENDPOINT: upstream.url } });
    const { httpUrl } = await story.startRelay();
    expect(await served(httpUrl)).toEqual([lcut, "bootstrap"]);
    await upstream.restart();
    const newer = publishKey(upstream, KEY, 1);
    await eventually(async () => expect(await served(httpUrl)).toEqual([newer.lcut, "upstream"]));
    expect(await story.run()).toContain("x-sfp-source: upstream");
    story.finished();
  });
});
