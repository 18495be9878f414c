import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { RedisOptions } from "../src/redis/options.ts";
import type { Snapshot } from "../src/specs/snapshot.ts";
import type { BackupWrite } from "../src/specs/spec-backup.ts";
import { describeWith } from "./support/needs.ts";
import { RedisServer } from "./support/redis-server.ts";
import { RedisUse } from "./support/redis-uses.ts";
import { feedOf, snapshotOf } from "./support/snapshots.ts";
import { SwitchedProxy } from "./support/switched-proxy.ts";
import { eventually } from "./support/wait.ts";

const COMMAND_LIMIT_MS = 600;
/** What the machine may be late by. */
const SLACK_MS = 400;

const feed = feedOf("secret-of-the-customer");

class Relay extends RedisUse {
  readonly backup_ = this.backup();
  #lcut = 0;

  constructor(options: RedisOptions) {
    super({ ...options, commandTimeoutMs: COMMAND_LIMIT_MS });
  }

  /** Writes a newer version; whatever comes of it comes in time. */
  async write(snapshot: Snapshot = snapshotOf(feed, ++this.#lcut)): Promise<BackupWrite | string> {
    const startedAt = performance.now();
    const outcome = await this.backup_.write(snapshot).catch((error: Error) => error.message);
    // A script that Redis does not know is sent twice.
    expect(performance.now() - startedAt).toBeLessThan(2 * COMMAND_LIMIT_MS + SLACK_MS);
    return outcome;
  }

  async writesAgain(withinMs = 10_000): Promise<void> {
    await eventually(async () => expect(await this.write()).toEqual({ kind: "written" }), { withinMs });
  }

  get outages(): string[] {
    return this.kinds("redis_down", "redis_up");
  }
}

describeWith("redis-server", "redis-cli")("Redis", () => {
  test("that is absent at the start is found when it comes", async () => {
    const server = await RedisServer.reserve();
    await using _ = server;
    await using relay = new Relay(server.options);
    expect(await relay.write()).toBe("connection refused");
    await sleep(1_000);
    expect(relay.outages).toEqual(["redis_down"]);
    expect(relay.events[0]).toEqual({ kind: "redis_down", reason: "connection refused" });
    await server.restart();
    await relay.writesAgain();
    expect(relay.outages).toEqual(["redis_down", "redis_up"]);
    expect(relay.events.find(({ kind }) => kind === "redis_up")).toMatchObject({
      downForMs: expect.toBeWithin(900, 12_000),
    });
  });

  test("that is there from the start is no event, and is waited for", async () => {
    await using server = await RedisServer.start();
    await using relay = new Relay(server.options);
    expect(await relay.write()).toEqual({ kind: "written" });
    expect(relay.outages).toEqual([]);
  });

  test("that stops and comes back is told once each", async () => {
    await using server = await RedisServer.start();
    await using relay = new Relay({ ...server.options, pool: { min: 3, max: 3 } });
    for (let round = 1; round <= 2; round++) {
      await relay.writesAgain();
      await server.kill();
      await relay.told("redis_down", round);
      const startedAt = performance.now();
      expect(await relay.write()).toMatch(/^connection (refused|closed)$/);
      expect(performance.now() - startedAt).toBeLessThan(100);
      await sleep(500);
      await server.restart();
      await relay.told("redis_up", round);
    }
    expect(relay.outages).toEqual(["redis_down", "redis_up", "redis_down", "redis_up"]);
  });

  test("that hangs is left, and found when it goes on", async () => {
    await using server = await RedisServer.start();
    await using relay = new Relay(server.options);
    await relay.writesAgain();
    server.hang();
    expect(await relay.write()).toMatch(/no answer|closed/);
    await relay.told("redis_down");
    expect(relay.events.find(({ kind }) => kind === "redis_down")).toEqual({
      kind: "redis_down",
      reason: "no answer in time",
    });
    for (let i = 0; i < 5; i++) expect(await relay.write()).toBeString();
    await sleep(2_000);
    server.goOn();
    await relay.writesAgain();
    expect(relay.outages).toEqual(["redis_down", "redis_up"]);
  });

  test("that hangs from the start does not hold up the end", async () => {
    await using server = await RedisServer.start();
    server.hang();
    const relay = new Relay(server.options);
    expect(await relay.write()).toMatch(/no answer/);
    const startedAt = performance.now();
    await relay[Symbol.asyncDispose]();
    expect(performance.now() - startedAt).toBeLessThan(1_000 + SLACK_MS);
    server.goOn();
  });

  test.each(["ALL", "WRITE"])("under CLIENT PAUSE %s is down once, however long it takes", async (mode) => {
    await using server = await RedisServer.start();
    await using relay = new Relay(server.options);
    await relay.writesAgain();
    await server.cli("CLIENT", "PAUSE", "3000", mode);
    for (let i = 0; i < 4; i++) {
      expect(await relay.write()).toBeString();
      await sleep(300);
    }
    await relay.writesAgain();
    expect(relay.outages).toEqual(["redis_down", "redis_up"]);
  });

  test("that sleeps for less than the limit is no event", async () => {
    await using server = await RedisServer.start({ config: ["enable-debug-command local"] });
    await using relay = new Relay(server.options);
    await relay.writesAgain();
    const asleep = server.cli("DEBUG", "SLEEP", "0.3");
    await sleep(50);
    expect(await relay.write()).toEqual({ kind: "written" });
    await asleep;
    expect(relay.outages).toEqual([]);
  });

  test("that sleeps for longer is down once", async () => {
    await using server = await RedisServer.start({ config: ["enable-debug-command local"] });
    await using relay = new Relay(server.options);
    await relay.writesAgain();
    const asleep = server.cli("DEBUG", "SLEEP", "2");
    await sleep(50);
    expect(await relay.write()).toBeString();
    await asleep;
    await relay.writesAgain();
    expect(relay.outages).toEqual(["redis_down", "redis_up"]);
  });

  test("that is out of memory still serves, takes updates of what it has, and is not down", async () => {
    await using server = await RedisServer.start({ config: ["maxmemory-policy noeviction"] });
    await using relay = new Relay(server.options);
    await relay.writesAgain();
    await server.cli("CONFIG", "SET", "maxmemory", "1");
    const [newcomer, lcut] = [feedOf("secret-of-another"), 5_000];
    expect(await relay.write(snapshotOf(newcomer, lcut))).toBe("Redis is out of memory");
    expect(relay.events.at(-1)).toMatchObject({
      kind: "redis_write_failed",
      lcut,
      reason: "Redis is out of memory",
    });
    expect(await relay.write()).toEqual({ kind: "written" });
    expect((await relay.backup_.read(feed, -1)).kind).toBe("found");
    await server.cli("CONFIG", "SET", "maxmemory", "0");
    expect(await relay.write(snapshotOf(newcomer, lcut))).toEqual({ kind: "written" });
    expect(relay.outages).toEqual([]);
  });

  test("that is a read-only replica still serves, and is not down", async () => {
    await using master = await RedisServer.start();
    await using replica = await RedisServer.start({ config: [`replicaof 127.0.0.1 ${master.port}`] });
    await eventually(async () => {
      expect(await replica.cli("INFO", "replication")).toContain("master_link_status:up");
    });
    await using writer = new Relay(master.options);
    await writer.write();
    await using relay = new Relay(replica.options);
    await eventually(async () => expect((await relay.backup_.read(feed, -1)).kind).toBe("found"));
    for (let i = 0; i < 3; i++) {
      expect(await relay.write(snapshotOf(feed, 100 + i))).toBe("this Redis is read-only");
      expect((await relay.backup_.read(feed, -1)).kind).toBe("found");
    }
    expect(relay.kinds("redis_write_failed")).toHaveLength(3);
    await replica.cli("REPLICAOF", "NO", "ONE");
    expect(await relay.write(snapshotOf(feed, 200))).toEqual({ kind: "written" });
    expect(relay.outages).toEqual([]);
  });

  test("that became a replica is left for the master that its address leads to now", async () => {
    await using master = await RedisServer.start();
    await using old = await RedisServer.start({ config: [`replicaof 127.0.0.1 ${master.port}`] });
    await using proxy = await SwitchedProxy.start(old.port);
    const address = { kind: "single", host: "127.0.0.1", port: proxy.port, db: 0 } as const;
    await using relay = new Relay({ ...old.options, address });
    await eventually(() => expect(relay.connection.isUp).toBe(true));
    proxy.switchTo(master.port);
    expect(await relay.write()).toBe("this Redis is read-only");
    await relay.writesAgain();
    expect(await master.cli("DBSIZE")).toBe("1");
    expect(relay.outages).toEqual([]);
  });

  test("that does not take the password says so, and it is in no event", async () => {
    const user = { name: "relay", password: "right" };
    await using server = await RedisServer.start({ user });
    await using relay = new Relay({ ...server.options, password: "the-wrong-one" });
    expect(await relay.write()).toBe("Redis does not take this user and password");
    await sleep(1_000);
    expect(relay.outages).toEqual(["redis_down"]);
    expect(JSON.stringify(relay.events)).not.toContain("the-wrong-one");
    await server.cli("ACL", "SETUSER", "relay", ">the-wrong-one");
    await relay.writesAgain();
  });

  test("whose user may not write serves what it may", async () => {
    await using server = await RedisServer.start();
    await using writer = new Relay(server.options);
    await writer.write();
    await server.cli("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection", "+info");
    await using relay = new Relay({ ...server.options, user: "reader", password: "pw" });
    expect((await relay.backup_.read(feed, -1)).kind).toBe("found");
    expect(await relay.write()).toBe("the Redis user may not do this");
    expect(relay.outages).toEqual([]);
  });
});
