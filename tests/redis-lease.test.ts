import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Clock, systemClock } from "../src/clock.ts";
import { LEADER_KEY } from "../src/redis/keys.ts";
import type { RedisOptions } from "../src/redis/options.ts";
import { RedisLease } from "../src/redis/redis-lease.ts";
import { describeWith } from "./support/needs.ts";
import { RedisServer } from "./support/redis-server.ts";
import { RedisUse } from "./support/redis-uses.ts";
import { strictSupervisor } from "./support/supervisors.ts";
import { eventually } from "./support/wait.ts";

const TTL_MS = 900;

/** A relay that wants the lease. */
class Contender extends RedisUse {
  readonly lease: RedisLease;
  acquired = 0;

  constructor(options: RedisOptions, ttlMs = TTL_MS, clock: Clock = systemClock) {
    super({ ...options, commandTimeoutMs: 500 });
    this.lease = new RedisLease({
      supervisor: strictSupervisor(),
      redis: this.connection,
      ttlMs,
      clock,
      emit: this.emit,
    });
    this.lease.onAcquired(() => this.acquired++);
  }

  async holds(held = true, withinMs = 5_000): Promise<void> {
    await eventually(() => expect(this.lease.isHeld).toBe(held), { withinMs, everyMs: 5 });
  }

  /** As a process ends that was killed. */
  die(): Promise<void> {
    return this.connection[Symbol.asyncDispose]();
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.lease[Symbol.asyncDispose]();
    await super[Symbol.asyncDispose]();
  }
}

const leaseEvents = (relay: RedisUse) =>
  relay.events.filter(({ kind }) => kind === "lease_acquired" || kind === "lease_lost");

describeWith("redis-server", "redis-cli")("The lease in Redis", () => {
  test("is held by one of two, for as long as it is there", async () => {
    await using server = await RedisServer.start();
    await using first = new Contender(server.options);
    await first.holds();
    await using second = new Contender(server.options);
    for (const end = performance.now() + 3 * TTL_MS; performance.now() < end; await sleep(10)) {
      expect([first.lease.isHeld, second.lease.isHeld]).toEqual([true, false]);
    }
    expect(leaseEvents(first)).toEqual([{ kind: "lease_acquired" }]);
    expect([first.acquired, second.acquired]).toEqual([1, 0]);
    expect(await server.cli("GET", LEADER_KEY)).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  });

  test("is given back at the end, and then another's without its time having passed", async () => {
    await using server = await RedisServer.start();
    const ttlMs = 6_000;
    const first = new Contender(server.options, ttlMs);
    await first.holds();
    await using second = new Contender(server.options, ttlMs);
    await sleep(100);
    await first[Symbol.asyncDispose]();
    expect(first.lease.isHeld).toBe(false);
    expect(leaseEvents(first).at(-1)).toEqual({ kind: "lease_lost", reason: "released" });
    await second.holds(true, ttlMs / 3 + 500);
  });

  test("is another's only after the time of one that died, which knows it by then", async () => {
    await using server = await RedisServer.start();
    await using first = new Contender(server.options);
    await first.holds();
    await using second = new Contender(server.options);
    await first.die();
    await eventually(
      () => {
        expect(first.lease.isHeld && second.lease.isHeld).toBe(false);
        if (!second.lease.isHeld) throw new RangeError("not yet");
      },
      { withinMs: 2 * TTL_MS, everyMs: 1 },
    );
    await eventually(() =>
      expect(leaseEvents(first).at(-1)).toEqual({ kind: "lease_lost", reason: "expired" }),
    );
  });

  test("no longer counts as held when Redis hangs for its time, and does again afterwards", async () => {
    await using server = await RedisServer.start();
    await using relay = new Contender(server.options);
    await relay.holds();
    server.hang();
    await sleep(TTL_MS + 50);
    expect(relay.lease.isHeld).toBe(false);
    await eventually(() =>
      expect(leaseEvents(relay).at(-1)).toEqual({ kind: "lease_lost", reason: "expired" }),
    );
    server.goOn();
    await relay.holds(true, 10_000);
    expect(relay.acquired).toBe(2);
  });

  test("is lost at once where another has it", async () => {
    await using server = await RedisServer.start();
    await using relay = new Contender(server.options);
    await relay.holds();
    await server.cli("SET", LEADER_KEY, "another", "PX", "60000");
    await relay.holds(false, TTL_MS);
    expect(leaseEvents(relay).at(-1)).toEqual({ kind: "lease_lost", reason: "taken" });
    await relay.lease[Symbol.asyncDispose]();
    expect(await server.cli("GET", LEADER_KEY)).toBe("another");
  });

  test("is taken at once when Redis comes back, without waiting for the next try", async () => {
    await using server = await RedisServer.start();
    await using relay = new Contender(server.options, 600_000);
    await relay.holds();
    await server.kill();
    await relay.told("redis_down");
    await server.restart();
    await relay.told("redis_up");
    await eventually(async () => expect(await server.cli("EXISTS", LEADER_KEY)).toBe("1"), {
      withinMs: 1_000,
    });
  });

  test.each([
    ["a value of another type", ["RPUSH", LEADER_KEY, "a"]],
    ["a value without an end", ["SET", LEADER_KEY, "left by hand"]],
  ])("%s in its place does not keep it from everybody", async (_, command) => {
    await using server = await RedisServer.start();
    await server.cli(...command);
    await using relay = new Contender(server.options);
    await relay.holds(true, 3 * TTL_MS);
  });

  test("does not count as held after the machine was suspended", async () => {
    await using server = await RedisServer.start();
    let suspendedForMs = 0;
    const clock: Clock = { ...systemClock, now: () => Date.now() + suspendedForMs };
    await using relay = new Contender(server.options, 60_000, clock);
    await relay.holds();
    suspendedForMs = 60_000;
    expect(relay.lease.isHeld).toBe(false);
  });
});
