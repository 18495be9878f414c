import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisWriter, writtenFeed } from "../support/redis/redis-writer.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { SwitchedProxy } from "../support/upstream/switched-proxy.ts";

describeWith("redis-server", "redis-cli")("A Redis", () => {
  test("that is out of memory still serves, accepts updates of existing entries, and is not down", async () => {
    await using server = await RedisServer.start({ config: ["maxmemory-policy noeviction"] });
    await using relay = new RedisWriter(server.options);
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
    expect((await relay.kept.read(writtenFeed, -1)).kind).toBe("found");
    await server.cli("CONFIG", "SET", "maxmemory", "0");
    expect(await relay.write(snapshotOf(newcomer, lcut))).toEqual({ kind: "written" });
    expect(relay.outages).toEqual([]);
  });

  test("that is a read-only replica still serves, and is not down", async () => {
    await using master = await RedisServer.start();
    await using replica = await RedisServer.start({ replicaOf: master.port });
    await replica.inSync();
    await using writer = new RedisWriter(master.options);
    await writer.write();
    await using relay = new RedisWriter(replica.options);
    await eventually(async () => expect((await relay.kept.read(writtenFeed, -1)).kind).toBe("found"));
    for (let i = 0; i < 3; i++) {
      expect(await relay.write(snapshotOf(writtenFeed, 100 + i))).toBe("this Redis is read-only");
      expect((await relay.kept.read(writtenFeed, -1)).kind).toBe("found");
    }
    expect(relay.kinds("redis_write_failed")).toHaveLength(3);
    await replica.cli("REPLICAOF", "NO", "ONE");
    expect(await relay.write(snapshotOf(writtenFeed, 200))).toEqual({ kind: "written" });
    expect(relay.outages).toEqual([]);
  });

  test("that became a replica is left for the master at the same address", async () => {
    await using master = await RedisServer.start();
    await using old = await RedisServer.start({ replicaOf: master.port });
    await using proxy = await SwitchedProxy.start(old.port);
    const address = { kind: "single", host: "127.0.0.1", port: proxy.port, db: 0 } as const;
    await using relay = new RedisWriter({ ...old.options, address });
    // Both connections are open.
    await Promise.all([relay.connection.send("PING", []), relay.connection.bulk.send("PING", [])]);
    proxy.switchTo(master.port);
    expect(await relay.write()).toBe("this Redis is read-only");
    await relay.writesAgain();
    expect(await master.cli("DBSIZE")).toBe("1");
    expect(relay.outages).toEqual([]);
  });

  test("that rejects the password is reported, without the password", async () => {
    const user = { name: "relay", password: "right" };
    await using server = await RedisServer.start({ user });
    await using relay = new RedisWriter({ ...server.options, password: "the-wrong-one" });
    expect(await relay.write()).toBe("Redis rejects this user and password");
    await sleep(1_000);
    expect(relay.outages).toEqual(["redis_down"]);
    expect(JSON.stringify(relay.events)).not.toContain("the-wrong-one");
    await server.cli("ACL", "SETUSER", "relay", ">the-wrong-one");
    await relay.writesAgain();
  });

  test("whose user may not write still serves", async () => {
    await using server = await RedisServer.start();
    await using writer = new RedisWriter(server.options);
    await writer.write();
    await server.cli("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection", "+info");
    await using relay = new RedisWriter({ ...server.options, user: "reader", password: "pw" });
    expect((await relay.kept.read(writtenFeed, -1)).kind).toBe("found");
    expect(await relay.write(snapshotOf(writtenFeed, 2))).toBe("the Redis user may not run WATCH");
    expect(relay.outages).toEqual([]);
  });
});
