import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";
import { SwitchedProxy } from "../support/upstream/switched-proxy.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const KEYS = Array.from({ length: 5 }, (_, i) => `secret-fleet-${i}`);
const INTERVAL_S = 1;

interface Fleet extends AsyncDisposable {
  readonly relays: readonly RelayProcess[];
}

interface FleetOptions {
  readonly args: readonly string[];
  readonly intervalS?: number;
}

/** A relay that was asked for every key. */
async function startRelay(
  upstreamUrl: string,
  redis: RedisServer,
  { args, intervalS = INTERVAL_S }: FleetOptions,
): Promise<RelayProcess> {
  const relay = await startRelayProcess({
    cache: "redis",
    mode: "http",
    pollIntervalS: intervalS,
    args: ["-r", "2", ...args],
    env: { REDIS_URL: `redis://127.0.0.1:${redis.port}`, STATSIG_ENDPOINT: upstreamUrl },
  });
  for (const key of KEYS) expect((await ask(relay, key)).lcut).toBe(versionOf(key).lcut);
  return relay;
}

/** Starts relays that share a Redis. */
async function startFleet(
  upstream: Upstream,
  redis: RedisServer,
  size: number,
  options: FleetOptions,
): Promise<Fleet> {
  const stack = new AsyncDisposableStack();
  const relays: RelayProcess[] = [];
  for (let i = 0; i < size; i++) relays.push(stack.use(await startRelay(upstream.url, redis, options)));
  return { relays, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const TOGETHER: FleetOptions = { args: ["--fleet-polling"] };

async function ask(relay: RelayProcess, key: string): Promise<{ lcut: number }> {
  const answer = await fetch(`${relay.httpUrl}/v2/download_config_specs/${key}.json`);
  return { lcut: Number(answer.headers.get("x-since-time")) };
}

/** Returns the ms until all relays serve the version. */
async function timeUntilServed(
  relays: readonly RelayProcess[],
  lcut: number,
  withinMs: number,
): Promise<number> {
  const began = performance.now();
  const check = async () => {
    for (const relay of relays) for (const key of KEYS) expect((await ask(relay, key)).lcut).toBe(lcut);
  };
  await eventually(check, { withinMs });
  return performance.now() - began;
}

const publishAll = (upstream: Upstream, number: number): number => {
  for (const key of KEYS) publishKey(upstream, key, number);
  return versionOf(KEYS[0] ?? "", number).lcut;
};

describeWith("redis-server")("three relays and five feeds", () => {
  test("send as many requests as one relay with --fleet-polling, and three times as many without", async () => {
    await using alone = await startUpstream();
    await using together = await startUpstream();
    await using redis = await RedisServer.start();
    await using otherRedis = await RedisServer.start();
    publishAll(alone, 0);
    publishAll(together, 0);
    await using _without = await startFleet(alone, redis, 3, { args: [] });
    await using _with = await startFleet(together, otherRedis, 3, TOGETHER);
    await sleep(INTERVAL_S * 1_000);
    alone.forgetRequests();
    together.forgetRequests();
    await sleep(10 * INTERVAL_S * 1_000);
    const counts = { without: alone.requests.length, with: together.requests.length };
    console.log(`requests to upstream in ten intervals: ${JSON.stringify(counts)}`);
    const one = 10 * KEYS.length;
    expect(counts.without).toBeWithin(2.7 * one, 3.5 * one);
    expect(counts.with).toBeWithin(0.9 * one, 1.25 * one);
  }, 60_000);

  test("have an update as soon as one of them has it, and only one gets it from upstream", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using fleet = await startFleet(upstream, redis, 3, TOGETHER);
    for (let number = 1; number <= 3; number++) {
      const lcut = publishAll(upstream, number);
      const [key = ""] = KEYS;
      const served = async () =>
        Math.max(...(await Promise.all(fleet.relays.map(async (each) => (await ask(each, key)).lcut))));
      await eventually(async () => expect(await served()).toBe(lcut), { withinMs: 3_000, everyMs: 5 });
      const began = performance.now();
      for (const relay of fleet.relays) {
        await eventually(async () => expect((await ask(relay, key)).lcut).toBe(lcut), {
          withinMs: 3_000,
          everyMs: 5,
        });
      }
      expect(performance.now() - began).toBeLessThan(500);
      await timeUntilServed(fleet.relays, lcut, 3_000);
    }
    const updates = fleet.relays.map(
      (relay) => [...relay.output().matchAll(/updated.* source=upstream/g)].length,
    );
    expect(updates.reduce((sum, each) => sum + each)).toBe(3 * KEYS.length);
  }, 60_000);

  test("get an update within two intervals if one of them is killed while it holds a claim", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using fleet = await startFleet(upstream, redis, 3, TOGETHER);
    const [first, ...others] = fleet.relays;
    // It has claimed at least one feed, for which it will not ask upstream any more.
    upstream.forgetRequests();
    await eventually(() => expect(upstream.requests.length).toBeGreaterThan(0), { everyMs: 1 });
    await first?.kill();
    const lcut = publishAll(upstream, 1);
    expect(await timeUntilServed(others, lcut, 10_000)).toBeLessThan(2 * INTERVAL_S * 1_000 + 500);
    await timeUntilServed(others, publishAll(upstream, 2), 3_000);
  }, 60_000);

  test("have each update within two intervals if one of them is cut off from upstream, and so has Redis", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using proxy = await SwitchedProxy.start(Number(new URL(upstream.url).port));
    await using cutOff = await startRelay(`http://127.0.0.1:${proxy.port}`, redis, TOGETHER);
    await using fleet = await startFleet(upstream, redis, 2, TOGETHER);
    for (const key of KEYS) await ask(cutOff, key);
    await proxy[Symbol.asyncDispose]();
    for (let number = 1; number <= 3; number++) {
      const lcut = publishAll(upstream, number);
      const relays = [cutOff, ...fleet.relays];
      expect(await timeUntilServed(relays, lcut, 10_000)).toBeLessThan(2 * INTERVAL_S * 1_000 + 500);
      const [name = ""] = (
        await redis.cli("--scan", "--pattern", "statsig|/v2/download_config_specs*")
      ).split("\n");
      expect(await redis.cli("HGET", name, "lcut")).toBe(String(lcut));
    }
  }, 60_000);

  test("stay as fresh as their own interval says if another fleet with another interval shares the Redis", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using slow = await startFleet(upstream, redis, 2, { ...TOGETHER, intervalS: 60 });
    await using fast = await startFleet(upstream, redis, 2, TOGETHER);
    await sleep(2 * INTERVAL_S * 1_000);
    upstream.forgetRequests();
    await sleep(5 * INTERVAL_S * 1_000);
    expect(upstream.requests.length).toBeWithin(0.9 * 5 * KEYS.length, 1.3 * 5 * KEYS.length);
    const lcut = publishAll(upstream, 1);
    await timeUntilServed([...fast.relays, ...slow.relays], lcut, 2 * INTERVAL_S * 1_000 + 500);
  }, 60_000);

  test("each poll on their own within two intervals without Redis, and one polls for all once it is back", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using fleet = await startFleet(upstream, redis, 3, TOGETHER);
    await redis.kill();
    const lcut = publishAll(upstream, 1);
    expect(await timeUntilServed(fleet.relays, lcut, 10_000)).toBeLessThan(2 * INTERVAL_S * 1_000 + 500);
    await redis.restart();
    const one = 3 * KEYS.length;
    await eventually(
      async () => {
        upstream.forgetRequests();
        await sleep(3 * INTERVAL_S * 1_000);
        expect(upstream.requests.length).toBeLessThan(1.5 * one);
      },
      { withinMs: 30_000 },
    );
    await timeUntilServed(fleet.relays, publishAll(upstream, 2), 3_000);
  }, 60_000);
});
