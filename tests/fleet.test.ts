import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { describeWith } from "./support/needs.ts";
import { publishKey, versionOf } from "./support/published-key.ts";
import { RedisServer } from "./support/redis-server.ts";
import { type RelayProcess, startRelayProcess } from "./support/relay-process.ts";
import { startUpstream, type Upstream } from "./support/upstream.ts";
import { eventually } from "./support/wait.ts";

const KEYS = Array.from({ length: 5 }, (_, i) => `secret-fleet-${i}`);
const INTERVAL_S = 1;

interface Fleet extends AsyncDisposable {
  readonly relays: readonly RelayProcess[];
  /** The relay that has the lease. */
  leader(): RelayProcess;
  followers(): readonly RelayProcess[];
}

/** Relays that share a Redis, each of which was asked for every key. */
async function startFleet(
  upstream: Upstream,
  redis: RedisServer,
  size: number,
  args: readonly string[],
): Promise<Fleet> {
  const stack = new AsyncDisposableStack();
  const relays: RelayProcess[] = [];
  for (let i = 0; i < size; i++) {
    const relay = await startRelayProcess({
      upstream,
      cache: "redis",
      mode: "http",
      pollIntervalS: INTERVAL_S,
      args: ["-r", "2", ...args],
      env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` },
    });
    relays.push(stack.use(relay));
    for (const key of KEYS) expect((await ask(relay, key)).lcut).toBe(versionOf(key).lcut);
  }
  const isLeader = (relay: RelayProcess) =>
    relay.output().split("this relay writes the backup now").length >
    relay.output().split("this relay no longer writes the backup").length;
  await eventually(() => expect(relays.filter(isLeader)).toHaveLength(1));
  return {
    relays,
    leader: () => relays.find(isLeader) ?? expect.unreachable("no leader"),
    followers: () => relays.filter((relay) => !isLeader(relay)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function ask(relay: RelayProcess, key: string): Promise<{ lcut: number }> {
  const answer = await fetch(`${relay.httpUrl}/v2/download_config_specs/${key}.json`);
  return { lcut: Number(answer.headers.get("x-since-time")) };
}

/** Ms until all of the relays serve the version. */
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
  test("cost upstream over ten intervals what one costs with --fleet-polling, and three times that without", async () => {
    await using alone = await startUpstream();
    await using together = await startUpstream();
    await using redis = await RedisServer.start();
    await using otherRedis = await RedisServer.start();
    publishAll(alone, 0);
    publishAll(together, 0);
    await using _without = await startFleet(alone, redis, 3, []);
    await using _with = await startFleet(together, otherRedis, 3, ["--fleet-polling"]);
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

  test("every relay has an update at the moment the leader has it", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using fleet = await startFleet(upstream, redis, 3, ["--fleet-polling"]);
    for (let number = 1; number <= 3; number++) {
      const lcut = publishAll(upstream, number);
      await timeUntilServed([fleet.leader()], lcut, 3_000);
      expect(await timeUntilServed(fleet.followers(), lcut, 3_000)).toBeLessThan(500);
    }
    for (const relay of fleet.followers()) expect(relay.output()).not.toMatch(/updated.* source=upstream/);
  }, 60_000);

  test("a leader that is killed is replaced, and an update arrives within two intervals", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using fleet = await startFleet(upstream, redis, 3, ["--fleet-polling"]);
    const [leader, followers] = [fleet.leader(), fleet.followers()];
    await leader.kill();
    const lcut = publishAll(upstream, 1);
    expect(await timeUntilServed(followers, lcut, 10_000)).toBeLessThan(2 * INTERVAL_S * 1_000 + 500);
    await eventually(() =>
      expect(followers.some((relay) => /writes the backup now/.test(relay.output()))).toBe(true),
    );
    const next = publishAll(upstream, 2);
    await timeUntilServed(followers, next, 3_000);
  }, 60_000);

  test("without Redis each polls for itself within two intervals, and with it back one polls again", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    publishAll(upstream, 0);
    await using fleet = await startFleet(upstream, redis, 3, ["--fleet-polling"]);
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
