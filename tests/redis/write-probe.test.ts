import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import type { RedisOptions } from "../../src/redis/options.ts";
import { WriteProbe } from "../../src/redis/write-probe.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { describeWith } from "../support/common/needs.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";

/** A relay that probes Redis when the test calls `upstreamResponded`. */
class Probing extends RedisUse {
  readonly probe: WriteProbe;

  constructor(options: RedisOptions, leaderKeyTtlMs = 3_000) {
    super(options);
    this.probe = new WriteProbe({
      redis: this.connection,
      leaderKeyTtlMs,
      responseValidMs: () => 3_000,
      clock: systemClock,
      supervisor: strictSupervisor(),
      emit: this.emit,
    });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.probe[Symbol.asyncDispose]();
    await super[Symbol.asyncDispose]();
  }
}

/** Probes a Redis that accepts everything. `probes` has when, in ms from the start. */
class TimedProbe implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly probes: number[] = [];
  readonly probe: WriteProbe;

  constructor() {
    const { clock, probes } = this;
    const startedAt = clock.elapsed();
    const send = async (command: string) => {
      if (command === "SETNX") probes.push(clock.elapsed() - startedAt);
      return 1;
    };
    this.probe = new WriteProbe({
      redis: { keys: UNPREFIXED, send },
      leaderKeyTtlMs: 3_000,
      responseValidMs: () => 3_000,
      clock,
      supervisor: strictSupervisor(clock),
      emit: () => {},
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.probe[Symbol.asyncDispose]();
  }
}

const holderOf = (redis: RedisServer): Promise<string> => redis.cli("GET", UNPREFIXED.leader);
const untilProbed = (redis: RedisServer) =>
  eventually(async () => expect(await redis.cli("EXISTS", UNPREFIXED.writeProbe)).toBe("1"));

describeWith("redis-server", "redis-cli")("The leader key of the original relay", () => {
  test("is neither taken nor renewed, whether or not an original relay holds it", async () => {
    await using redis = await RedisServer.start();
    await using relay = new Probing(redis.options);
    relay.probe.upstreamResponded();
    await untilProbed(redis);
    expect(await holderOf(redis)).toBe("");
    await redis.cli("SET", UNPREFIXED.leader, "an original relay", "EX", "100");
    await redis.cli("DEL", UNPREFIXED.writeProbe);
    await using second = new Probing(redis.options);
    second.probe.upstreamResponded();
    await untilProbed(redis);
    expect(await holderOf(redis)).toBe("an original relay");
    expect(Number(await redis.cli("TTL", UNPREFIXED.leader))).toBeWithin(4, 101);
  });

  test("gets a TTL if it has none", async () => {
    await using redis = await RedisServer.start();
    await redis.cli("SET", UNPREFIXED.leader, "of a relay that was killed");
    await using relay = new Probing(redis.options, 7_000);
    relay.probe.upstreamResponded();
    await eventually(async () => expect(Number(await redis.cli("TTL", UNPREFIXED.leader))).toBeWithin(1, 8));
  });
});

describe("A failed write", () => {
  test("ends the pause between probes, but Redis is probed at most once a second", async () => {
    await using timed = new TimedProbe();
    const { clock, probe, probes } = timed;
    probe.upstreamResponded();
    await clock.advance(2_000);
    probe.tryNow();
    await clock.advance(100);
    expect(probes).toEqual([0, 2_000]);
    for (let count = 0; count < 10; count++) probe.tryNow();
    await clock.advance(899);
    expect(probes).toEqual([0, 2_000]);
    await clock.advance(1);
    expect(probes).toEqual([0, 2_000, 3_000]);
    await clock.advance(60_000);
    expect(probes).toEqual([0, 2_000, 3_000]);
  });

  test("is not what a response of upstream is: those do not end the pause", async () => {
    await using timed = new TimedProbe();
    const { clock, probe, probes } = timed;
    for (let count = 0; count < 11; count++) {
      probe.upstreamResponded();
      await clock.advance(1_000);
    }
    expect(probes).toEqual([0, 5_000, 10_000]);
  });
});

describeWith("redis-server", "redis-cli")("The write probe", () => {
  test.each([
    ["replicas are missing", ["min-replicas-to-write", "1"], ["min-replicas-to-write", "0"]],
    ["memory is full", ["maxmemory", "1"], ["maxmemory", "0"]],
  ])("shows that Redis rejects writes, as %s, and when it accepts them again", async (_, refuse, allow) => {
    await using redis = await RedisServer.start();
    await using relay = new Probing(redis.options);
    await redis.cli("CONFIG", "SET", ...refuse);
    relay.probe.tryNow();
    await relay.untilEmitted("redis_refuses_writes");
    await redis.cli("CONFIG", "SET", ...allow);
    await relay.untilEmitted("redis_accepts_writes");
    expect(relay.kinds("redis_refuses_writes", "redis_accepts_writes")).toEqual([
      "redis_refuses_writes",
      "redis_accepts_writes",
    ]);
  });
});
