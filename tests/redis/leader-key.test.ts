import { expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { LEADER_KEY } from "../../src/redis/keys.ts";
import { LeaderKey } from "../../src/redis/leader-key.ts";
import type { RedisOptions } from "../../src/redis/options.ts";
import { describeWith } from "../support/common/needs.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { startReloadedRelay } from "../support/relay/reloaded-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

/** A relay that renews the key when the test calls `upstreamResponded`. */
class Renewing extends RedisUse {
  readonly leader: LeaderKey;

  constructor(options: RedisOptions, ttlMs = 3_000) {
    super(options);
    this.leader = new LeaderKey({
      redis: this.connection,
      ttlMs,
      responseValidMs: () => 3_000,
      clock: systemClock,
      supervisor: strictSupervisor(),
      emit: this.emit,
    });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.leader[Symbol.asyncDispose]();
    await super[Symbol.asyncDispose]();
  }
}

const holderOf = (redis: RedisServer): Promise<string> => redis.cli("GET", LEADER_KEY);

describeWith("redis-server", "redis-cli")("The leader key of the original relay", () => {
  test("is held while upstream responds now and then, and expires when it does not", async () => {
    await using redis = await RedisServer.start();
    await using relay = new Renewing(redis.options);
    await Bun.sleep(200);
    expect(await holderOf(redis)).toBe("");
    relay.leader.upstreamResponded();
    await eventually(async () => expect(await holderOf(redis)).not.toBe(""));
    const holder = await holderOf(redis);
    // There must be no gap in which an original relay could take the key.
    for (let answers = 0; answers < 4; answers++) {
      relay.leader.upstreamResponded();
      for (let look = 0; look < 9; look++) {
        expect(await holderOf(redis)).toBe(holder);
        await Bun.sleep(100);
      }
    }
    await eventually(async () => expect(await holderOf(redis)).toBe(""), { withinMs: 12_000 });
  }, 40_000);

  test("is shared by all relays, and never taken from an original relay", async () => {
    await using redis = await RedisServer.start();
    await using second = new Renewing(redis.options);
    {
      await using first = new Renewing(redis.options);
      first.leader.upstreamResponded();
      await eventually(async () => expect(await holderOf(redis)).not.toBe(""));
      second.leader.upstreamResponded();
    }
    for (let look = 0; look < 20; look++) {
      second.leader.upstreamResponded();
      expect(await holderOf(redis)).not.toBe("");
      await Bun.sleep(100);
    }
    await redis.cli("SET", LEADER_KEY, "an original relay", "EX", "100");
    second.leader.upstreamResponded();
    await Bun.sleep(500);
    expect(await holderOf(redis)).toBe("an original relay");
  });

  test("gets a TTL if it has none", async () => {
    await using redis = await RedisServer.start();
    await redis.cli("SET", LEADER_KEY, "of a relay that was killed");
    await using relay = new Renewing(redis.options, 7_000);
    relay.leader.upstreamResponded();
    await eventually(async () => expect(Number(await redis.cli("TTL", LEADER_KEY))).toBeWithin(1, 8));
  });

  test.each([
    ["replicas are missing", ["min-replicas-to-write", "1"], ["min-replicas-to-write", "0"]],
    ["memory is full", ["maxmemory", "1"], ["maxmemory", "0"]],
  ])("shows that Redis rejects writes, as %s, and when it accepts them again", async (_, refuse, allow) => {
    await using redis = await RedisServer.start();
    await using relay = new Renewing(redis.options);
    await redis.cli("CONFIG", "SET", ...refuse);
    relay.leader.tryNow();
    await relay.untilEmitted("redis_refuses_writes");
    await redis.cli("CONFIG", "SET", ...allow);
    await relay.untilEmitted("redis_accepts_writes");
    expect(relay.kinds("redis_refuses_writes", "redis_accepts_writes")).toEqual([
      "redis_refuses_writes",
      "redis_accepts_writes",
    ]);
  });

  test("stays held between polls after a reload to a longer interval", async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-leader-after-reload");
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    const settings = { mode: "http", cache: "redis", "preload-sdk-keys": sdkKey, "redis-leader-key-ttl": 2 };
    const reloadable = { ...settings, "polling-interval-in-s": 1 };
    await using reloaded = await startReloadedRelay(upstream, reloadable, [], env);
    await eventually(async () => expect(await holderOf(redis)).not.toBe(""));
    await reloaded.reload({ ...settings, "polling-interval-in-s": 6 });
    // The old interval would let the key expire 4 s after a response.
    for (let look = 0; look < 50; look++) {
      expect(await holderOf(redis)).not.toBe("");
      await Bun.sleep(200);
    }
  }, 40_000);
});
