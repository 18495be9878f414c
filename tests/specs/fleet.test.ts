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

/** Two intervals, and much more for a busy machine; fleet-claims.property.test.ts has the exact times. */
const SOON_MS = 8_000;
/** No poll of a relay with this interval comes while a test runs. */
const NEVER_S = 600;

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

/** Waits until all relays serve the version. */
async function untilServed(relays: readonly RelayProcess[], lcut: number): Promise<void> {
  const check = async () => {
    for (const relay of relays) for (const key of KEYS) expect((await ask(relay, key)).lcut).toBe(lcut);
  };
  await eventually(check, { withinMs: SOON_MS });
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
    const began = performance.now();
    await sleep(10 * INTERVAL_S * 1_000);
    const counts = { without: alone.requests.length, with: together.requests.length };
    const intervals = (performance.now() - began) / (INTERVAL_S * 1_000);
    console.log(`requests to upstream in ${intervals.toFixed(1)} intervals: ${JSON.stringify(counts)}`);
    // On a busy machine both fleets poll less often.
    const one = intervals * KEYS.length;
    expect(counts.without / counts.with).toBeWithin(2, 4);
    expect(counts.without).toBeWithin(1.5 * one, 3.5 * one);
    expect(counts.with).toBeWithin(0.5 * one, 1.25 * one);
  }, 60_000);

  test("all have an update that one of them gets from upstream", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using fleet = await startFleet(upstream, redis, 3, TOGETHER);
    for (let number = 1; number <= 3; number++) {
      await untilServed(fleet.relays, publishAll(upstream, number));
    }
    const updates = () =>
      fleet.relays
        .map((relay) => relay.output())
        .join("")
        .match(/updated.* source=upstream/g);
    // Another relay asks as well if the one that has asked stands still for an interval.
    await eventually(() => expect(updates()?.length).toBeWithin(3 * KEYS.length, 4 * KEYS.length));
  }, 60_000);

  test("soon get an update if one of them is killed while it holds a claim", async () => {
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
    await untilServed(others, lcut);
    await untilServed(others, publishAll(upstream, 2));
  }, 60_000);

  test("soon have each update if one of them is cut off from upstream, and so has Redis", async () => {
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
      await untilServed([cutOff, ...fleet.relays], lcut);
      const [name = ""] = (
        await redis.cli("--scan", "--pattern", "statsig|/v2/download_config_specs*")
      ).split("\n");
      expect(await redis.cli("HGET", name, "lcut")).toBe(String(lcut));
    }
  }, 60_000);

  test("are as fresh as their own interval says, and relays with a longer one that share the Redis have an update as soon as they have it", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using slow = await startFleet(upstream, redis, 2, { ...TOGETHER, intervalS: NEVER_S });
    await using fast = await startFleet(upstream, redis, 2, TOGETHER);
    await sleep(2 * INTERVAL_S * 1_000);
    upstream.forgetRequests();
    const began = performance.now();
    await sleep(5 * INTERVAL_S * 1_000);
    const one = ((performance.now() - began) / (INTERVAL_S * 1_000)) * KEYS.length;
    expect(upstream.requests.length).toBeWithin(0.5 * one, 1.3 * one);
    await untilServed([...fast.relays, ...slow.relays], publishAll(upstream, 1));
  }, 60_000);

  test("each poll on their own without Redis, and one polls for all once it is back", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using fleet = await startFleet(upstream, redis, 3, TOGETHER);
    await redis.kill();
    await untilServed(fleet.relays, publishAll(upstream, 1));
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
    await untilServed(fleet.relays, publishAll(upstream, 2));
  }, 60_000);
});
