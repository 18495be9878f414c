import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { StoryRelay } from "../support/operators/managed.ts";
import { Story } from "../support/operators/story.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const KEY = "secret-of-the-story";

async function served(httpUrl: string) {
  const response = await fetch(`${httpUrl}/v2/download_config_specs/${KEY}.json`);
  return (await response.json()) as { readonly time: number };
}

const lcutServed = async ({ process }: StoryRelay) => (await served(process.httpUrl)).time;

/** A relay that does not poll by itself while the test runs, and the story about it. */
async function startStory(
  title: string,
  upstream: Upstream,
  options: Parameters<typeof StoryRelay.start>[0] = {},
) {
  await using stack = new AsyncDisposableStack();
  const relay = stack.use(await StoryRelay.start({ upstream, mode: "http", ...options }));
  const story = stack.use(await Story.open(title));
  await story.set({ key: KEY, places: relay.places });
  const owned = stack.move();
  return { relay, story, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const RARELY = { pollIntervalS: 3_600 };

describeWith("curl", "jq")("docs/operations.md: what to do when", () => {
  test("A bad gate went out: roll back", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using told = await startStory("A bad gate went out: roll back", upstream);
    const { relay, story } = told;
    const good = await served(relay.process.httpUrl);
    const bad = publishKey(upstream, KEY, 1);
    await eventually(async () => expect(await lcutServed(relay)).toBe(bad.lcut));
    const shown = await story.run();
    for (const each of [good.time, bad.lcut]) expect(shown).toContain(String(each));
    expect(shown).toContain("config_public");
    await story.run();
    const rolledBack = bad.lcut + 1;
    expect(await story.run()).toContain(`x-since-time: ${rolledBack}`);
    expect(await served(relay.process.httpUrl)).toEqual({ ...good, time: rolledBack });
    const corrected = publishKey(upstream, KEY, 2);
    await eventually(async () => {
      const { pins } = (await (await fetch(`${relay.process.urlOf("management")}/status.json`)).json()) as {
        pins: { held_back: number }[];
      };
      expect(pins[0]?.held_back).toBeGreaterThan(0);
    });
    expect(await lcutServed(relay)).toBe(rolledBack);
    await story.run();
    await eventually(async () => expect(await lcutServed(relay)).toBe(corrected.lcut));
    story.finished();
  });

  test("Why does this SDK get old values?", async () => {
    await using upstream = await startUpstream();
    const old = publishKey(upstream, KEY);
    await using told = await startStory("Why does this SDK get old values?", upstream, RARELY);
    const { relay, story } = told;
    expect(await lcutServed(relay)).toBe(old.lcut);
    const newer = publishKey(upstream, KEY, 1);
    expect(await story.run()).toContain(`x-since-time: ${old.lcut}`);
    await story.run();
    expect(await story.run()).toMatch(/"updated": ?[1-9]/);
    expect(await lcutServed(relay)).toBe(newer.lcut);
    expect(await story.run()).toContain('"feature_gates"');
    story.finished();
  });

  test("Move to another region", async () => {
    await using upstream = await startUpstream();
    const { lcut } = publishKey(upstream, KEY);
    await using old = await StoryRelay.start({ upstream, mode: "http" });
    expect(await lcutServed(old)).toBe(lcut);
    await using statsig = await startUpstream();
    await statsig.stop();
    await using story = await Story.open("Move to another region");
    await writeFile(join(story.etc, "keys"), KEY);
    await story.set({
      key: KEY,
      places: {
        "https://api.statsigcdn.com": statsig.url,
        "relay.old-region.internal:8000": old.places["localhost:8000"] ?? "",
      },
    });
    const { httpUrl } = await story.startRelay();
    expect((await served(httpUrl)).time).toBe(lcut);
    const shown = await story.run();
    expect(shown).toContain("200");
    expect(shown.match(new RegExp(`x-since-time: ${lcut}`, "g"))).toHaveLength(2);
    story.finished();
  });

  test("A cluster without network", async () => {
    await using upstream = await startUpstream();
    const { lcut } = publishKey(upstream, KEY);
    await using told = await startStory("A cluster without network", upstream);
    const { relay, story } = told;
    expect(await lcutServed(relay)).toBe(lcut);
    await story.run();
    await relay.process.stop();
    const asked = upstream.requests.length;
    const { httpUrl } = await story.startRelay();
    expect(JSON.stringify(await served(httpUrl))).toBe(versionOf(KEY).v2);
    expect(upstream.requests.length).toBe(asked);
    story.finished();
  });
});

describeWith(
  "curl",
  "jq",
  "redis-server",
)("docs/operations.md, a fleet: what to do when", () => {
  test("A change must be everywhere now", async () => {
    await using upstream = await startUpstream();
    const old = publishKey(upstream, KEY);
    await using redis = await RedisServer.start();
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    const fleet = { ...RARELY, cache: "redis", args: ["--fleet-polling"], env } as const;
    await using told = await startStory("A change must be everywhere now", upstream, fleet);
    await using other = await StoryRelay.start({ upstream, mode: "http", ...fleet });
    for (const each of [told.relay, other]) expect(await lcutServed(each)).toBe(old.lcut);
    const newer = publishKey(upstream, KEY, 1);
    expect(await told.story.run()).toContain(`x-since-time: ${newer.lcut}`);
    await eventually(async () => expect(await lcutServed(other)).toBe(newer.lcut));
    told.story.finished();
  });
});
