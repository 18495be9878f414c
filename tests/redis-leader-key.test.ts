import { expect, test } from "bun:test";
import { systemClock } from "../src/clock.ts";
import { LEADER_KEY } from "../src/redis/keys.ts";
import { LeaderKey } from "../src/redis/leader-key.ts";
import type { RedisOptions } from "../src/redis/options.ts";
import { describeWith } from "./support/needs.ts";
import { RedisServer } from "./support/redis-server.ts";
import { RedisUse } from "./support/redis-uses.ts";
import { strictSupervisor } from "./support/supervisors.ts";
import { eventually } from "./support/wait.ts";

/** A relay that renews the key when told so. */
class Renewing extends RedisUse {
  readonly leader: LeaderKey;

  constructor(options: RedisOptions, ttlMs = 1_000) {
    super(options);
    this.leader = new LeaderKey({
      redis: this.connection,
      ttlMs,
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

describeWith("redis-server", "redis-cli")("The original's leader key", () => {
  test("is held while it is renewed, and runs out when it is not", async () => {
    await using redis = await RedisServer.start();
    await using relay = new Renewing(redis.options);
    await Bun.sleep(200);
    expect(await holderOf(redis)).toBe("");
    relay.leader.renew();
    await eventually(async () => expect(await holderOf(redis)).not.toBe(""));
    const holder = await holderOf(redis);
    for (const until = performance.now() + 2_500; performance.now() < until; await Bun.sleep(100)) {
      relay.leader.renew();
      expect(await holderOf(redis)).toBe(holder);
    }
    await eventually(async () => expect(await holderOf(redis)).toBe(""), { withinMs: 3_000 });
  });

  test("is let go of at the end, by its holder alone", async () => {
    await using redis = await RedisServer.start();
    await using second = new Renewing(redis.options, 60_000);
    {
      await using first = new Renewing(redis.options, 60_000);
      first.leader.renew();
      await eventually(async () => expect(await holderOf(redis)).not.toBe(""));
      const holder = await holderOf(redis);
      second.leader.renew();
      await Bun.sleep(200);
      expect(await holderOf(redis)).toBe(holder);
    }
    expect(await holderOf(redis)).toBe("");
    await redis.cli("SET", LEADER_KEY, "an original relay", "EX", "100");
    await second.leader[Symbol.asyncDispose]();
    expect(await holderOf(redis)).toBe("an original relay");
  });

  test("that was left without an end gets one", async () => {
    await using redis = await RedisServer.start();
    await redis.cli("SET", LEADER_KEY, "of a relay that was killed");
    await using relay = new Renewing(redis.options, 7_000);
    relay.leader.renew();
    await eventually(async () => expect(Number(await redis.cli("TTL", LEADER_KEY))).toBeWithin(1, 8));
  });

  test.each([
    ["replicas are missing", ["min-replicas-to-write", "1"], ["min-replicas-to-write", "0"]],
    ["memory is full", ["maxmemory", "1"], ["maxmemory", "0"]],
  ])("tells that Redis takes no writes, as %s, and when it does again", async (_, refuse, allow) => {
    await using redis = await RedisServer.start();
    await using relay = new Renewing(redis.options);
    await redis.cli("CONFIG", "SET", ...refuse);
    relay.leader.renew();
    await relay.told("redis_refuses_writes");
    await redis.cli("CONFIG", "SET", ...allow);
    await relay.told("redis_takes_writes");
    expect(relay.kinds("redis_refuses_writes", "redis_takes_writes")).toEqual([
      "redis_refuses_writes",
      "redis_takes_writes",
    ]);
  });
});
