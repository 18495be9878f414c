import { expect, test } from "bun:test";
import type { Feed } from "../../src/specs/feed.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { RedisWriter, SHORT_LIMIT, writtenFeed } from "../support/redis/redis-writer.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";

describeWith("redis-server", "redis-cli")("A Redis Cluster", () => {
  test("that is absent is reported as down once, with a reason", async () => {
    await using absent = await RedisServer.reserve();
    const address = { kind: "cluster", nodes: [{ host: "127.0.0.1", port: absent.port }] } as const;
    await using relay = new RedisWriter({ ...absent.options, address });
    expect(await relay.write()).toBe("no node of the Redis Cluster can be reached");
    await Bun.sleep(1_000);
    expect(relay.events.slice(0, 1)).toEqual([
      { kind: "redis_down", reason: "no node of the Redis Cluster can be reached" },
    ]);
    expect(relay.outages).toEqual(["redis_down"]);
  });

  test("stores every feed on the node of its key, and is found by one address", async () => {
    await using cluster = await RedisCluster.start();
    const { address } = cluster.options;
    if (address.kind !== "cluster") throw new Error(address.kind);
    const one = { ...address, nodes: address.nodes.slice(2) };
    await using relay = new RedisWriter({ ...cluster.options, address: one });
    const feeds = Array.from({ length: 12 }, (_, at) => feedOf(`secret-${at}`));
    for (const feed of feeds) await relay.write(await preparedSnapshot(feed, 5));
    const sizes = await Promise.all(cluster.nodes.map((node) => node.cli("DBSIZE")));
    expect(sizes.map(Number).reduce((sum, size) => sum + size)).toBe(feeds.length);
    expect(sizes).not.toContain("0");
    for (const feed of feeds) expect((await relay.kept.read(feed, -1)).kind).toBe("found");
    expect(relay.outages).toEqual([]);
  });

  test("accepts large values for all nodes with the first commands", async () => {
    await using cluster = await RedisCluster.start();
    for (let round = 0; round < 5; round++) {
      await using use = new RedisUse(cluster.options);
      const { bulk } = use.connection;
      await use.connection.send("PING", []);
      const answers = Array.from({ length: 20 }, (_, at) => bulk.send("HGET", [`statsig|${at}`, "config"]));
      expect(await Promise.all(answers)).toEqual(answers.map(() => null));
    }
  });

  test("with a node that is down finds the entry under the key of another node", async () => {
    // Otherwise no node serves anything once the others agree that one is down.
    await using cluster = await RedisCluster.start(["cluster-require-full-coverage no"]);
    await using use = new RedisUse(cluster.options);
    const backup = use.backup({ schemas: ["v4", "v3"] });
    const nodesOf = (of: Feed) =>
      Promise.all(UNPREFIXED.entries(of, ["v4", "v3"]).map(({ name }) => cluster.findNode(name)));
    const apart: Feed[] = [];
    for (let at = 0; apart.length === 0; at++) {
      const feed = feedOf(`secret-${at}-of-a-cluster`);
      const [v4, v3] = await nodesOf(feed);
      if (v4 !== v3) apart.push(feed);
    }
    const [feed] = apart as [Feed];
    await backup.write(await preparedSnapshot(feed, 5));
    const [v4, v3] = await nodesOf(feed);
    await v4?.kill();
    await eventually(async () => expect((await backup.read(feed, -1)).kind).toBe("found"), {
      withinMs: 15_000,
    });
    await expect(backup.read(feed, 5)).rejects.toThrow();
    await v4?.restart();
    await v3?.kill();
    await expect(backup.read(feed, -1)).rejects.toThrow();
  }, 30_000);

  test("with a node that is down fails in time, and recovers with it", async () => {
    await using cluster = await RedisCluster.start();
    await using relay = new RedisWriter({ ...cluster.options, ...SHORT_LIMIT });
    await relay.writesAgain();
    const node = await cluster.findNode(UNPREFIXED.entries(writtenFeed, ["v3"])[0].name);
    await node.kill();
    for (let i = 0; i < 5; i++) expect(await relay.write()).toBeString();
    await node.restart();
    await relay.writesAgain(15_000);
  }, 30_000);

  test("that hangs is reported as down once, and is used again when it continues", async () => {
    await using cluster = await RedisCluster.start();
    await using relay = new RedisWriter({ ...cluster.options, ...SHORT_LIMIT });
    await relay.writesAgain();
    for (const node of cluster.nodes) node.hang();
    for (let i = 0; i < 4; i++) expect(await relay.write()).toBeString();
    await relay.untilEmitted("redis_down");
    for (const node of cluster.nodes) node.goOn();
    await relay.writesAgain(15_000);
    expect(relay.outages).toEqual(["redis_down", "redis_up"]);
  }, 30_000);
});
