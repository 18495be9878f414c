import { expect, test } from "bun:test";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { CHAOS_FEEDS, type ChaosFeed, specPath } from "../support/specs/chaos-fleet.ts";
import { ChaosWatch, type WatchedLife } from "../support/specs/chaos-watch.ts";

const [FEED] = CHAOS_FEEDS;
const NEWEST = { lcut: 5_000, text: '{"time":5000}' };

/** A scripted relay and Redis, with the watch over them. */
class Watched implements AsyncDisposable {
  /** The relay's response: an lcut, or a status without a spec. */
  answer: { readonly lcut: number } | { readonly status: number } = NEWEST;
  text = NEWEST.text;
  /** How long each response takes. */
  takesMs = 0;
  readonly fleet: {
    redis: RedisServer;
    redisEpoch: number;
    relays: { name: string; life: WatchedLife | undefined }[];
    newest: () => typeof NEWEST;
  };
  readonly watch: ChaosWatch;
  readonly #relay = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => this.#answer(request) });

  private constructor(redis: RedisServer) {
    const life = this.life(new Map());
    this.fleet = { redis, redisEpoch: 0, relays: [{ name: "relay", life }], newest: () => NEWEST };
    this.watch = new ChaosWatch(this.fleet);
  }

  static async start(): Promise<Watched> {
    const watched = new Watched(await RedisServer.start());
    await watched.keep(CHAOS_FEEDS);
    await eventually(() => {
      expect(watched.fleet.relays.map((relay) => watched.watch.isRelayAtNewest(relay))).toEqual([true]);
      expect(watched.watch.isRedisAtNewest()).toBe(true);
    });
    expect(watched.watch.takeProblems()).toEqual([]);
    return watched;
  }

  life(floor: ReadonlyMap<string, number>): WatchedLife {
    const process = { httpUrl: `http://127.0.0.1:${this.#relay.port}` };
    return { process, floor, served: new Map(), isEnding: false, isPaused: false };
  }

  /** Replaces the relay's process by another one. */
  replace(life: WatchedLife): void {
    for (const relay of this.fleet.relays) relay.life = life;
  }

  async keep(feeds: readonly ChaosFeed[], lcut = NEWEST.lcut): Promise<void> {
    for (const { redisKey } of feeds)
      await this.fleet.redis.cli("HSET", redisKey, "lcut", String(lcut), "config", this.text);
  }

  async sees(problem: RegExp): Promise<void> {
    await eventually(() => expect(this.watch.takeProblems().join("\n")).toMatch(problem));
  }

  async #answer(request: Request): Promise<Response> {
    await Bun.sleep(this.takesMs);
    const isFeed = new URL(request.url).pathname === specPath(FEED);
    const answer = isFeed ? this.answer : NEWEST;
    if ("status" in answer) return new Response("", answer);
    return new Response(this.text, { headers: { "x-since-time": String(answer.lcut) } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watch[Symbol.asyncDispose]();
    await this.#relay.stop(true);
    await this.fleet.redis[Symbol.asyncDispose]();
  }
}

describeWith("redis-server", "redis-cli")("the watch of the chaos suite detects", () => {
  test("a relay that goes back to an older version", async () => {
    await using watched = await Watched.start();
    watched.answer = { lcut: 4_000 };
    await watched.sees(/relay went back to a\/v1 4000, 1 versions older/);
    expect(watched.watch.behind()).toBe("relay: a/v1 1 versions behind");
  });

  test.each([401, 503])("a relay that no longer serves what it served: %d", async (status) => {
    await using watched = await Watched.start();
    watched.answer = { status };
    await watched.sees(new RegExp(`relay took a/v1 away: ${status}`));
  });

  test("a relay that starts with a too old version", async () => {
    await using watched = await Watched.start();
    watched.answer = { lcut: 4_000 };
    watched.replace(watched.life(new Map([[FEED.name, 5_000]])));
    await watched.sees(/relay started with a\/v1 4000, 1 versions older/);
  });

  test("a relay that does not respond", async () => {
    await using watched = await Watched.start();
    watched.replace({ ...watched.life(new Map()), process: { httpUrl: "http://127.0.0.1:1" } });
    await watched.sees(/relay did not answer for a\/v1/);
  });

  test("a machine that is slow", async () => {
    await using watched = await Watched.start();
    const readLateMs = watched.watch.measureLateness();
    watched.takesMs = 200;
    await eventually(() => expect(readLateMs()).toBeGreaterThan(600));
    expect(watched.watch.takeProblems()).toEqual([]);
  });

  test("a Redis that goes back to an older version", async () => {
    await using watched = await Watched.start();
    await watched.keep([FEED], 4_000);
    await watched.sees(/Redis went back to a\/v1 4000, 1 versions older/);
  });

  test("a Redis that loses a feed, unless it lost all its data", async () => {
    await using watched = await Watched.start();
    await watched.fleet.redis.cli("DEL", FEED.redisKey);
    await watched.sees(/Redis lost a\/v1/);
    await watched.fleet.redis.kill();
    watched.fleet.redisEpoch++;
    expect(watched.watch.isRedisAtNewest()).toBe(false);
    await watched.fleet.redis.restart();
    await watched.keep(CHAOS_FEEDS);
    await eventually(() => expect(watched.watch.isRedisAtNewest()).toBe(true));
    expect(watched.watch.takeProblems()).toEqual([]);
  });

  test("another body with the newest lcut", async () => {
    await using watched = await Watched.start();
    await watched.watch.compareBodies();
    expect(watched.watch.takeProblems()).toEqual([]);
    watched.text = "{}";
    await watched.keep([FEED]);
    await watched.watch.compareBodies();
    expect(watched.watch.takeProblems().map((problem) => problem.slice(25))).toEqual([
      ...CHAOS_FEEDS.slice(0, 1).flatMap(({ name }) => [
        `relay serves another body of ${name}`,
        `Redis has another body of ${name}`,
      ]),
      ...CHAOS_FEEDS.slice(1).map(({ name }) => `relay serves another body of ${name}`),
    ]);
  });
});
