import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { RedisFleetChannel, RedisNotices } from "../../src/redis/fleet.ts";
import { isClusterPrefix, parseKeyPrefix, RedisKeys } from "../../src/redis/keys.ts";
import { describeWith } from "../support/common/needs.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { OriginalRelay } from "../support/redis/original-relay.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { problemOf, readEnvironment } from "../support/redis/redis-environment.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { envOfUser, limitedUser } from "../support/redis/redis-users.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { problemsOf } from "../support/relay/doctor.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const feed = feedOf("secret-of-a-prefixed-customer");

test.each([
  ["", ""],
  ["   ", ""],
  ["sfp-np", "sfp-np:"],
  ["sfp-np:", "sfp-np:"],
  ["  sfp-np \t", "sfp-np:"],
  ["team:sfp::", "team:sfp::"],
  [":", ":"],
])("REDIS_KEY_PREFIX %j begins names with %j", (given, prefix) => {
  expect(parseKeyPrefix(given)).toBe(prefix);
  expect(readEnvironment({ REDIS_KEY_PREFIX: given }).keyPrefix).toBe(prefix);
});

test("every name begins with the prefix", () => {
  const keys = new RedisKeys("sfp-np:");
  const names = [
    ...keys.entries(feedOf(feed.sdkKey, "v1"), ["v1", "v3", "v4"]).map(({ name }) => name),
    ...[keys.manifest(feed, "v3").name, keys.manifest(feed, "v4").name, keys.removal(feed)],
    ...[keys.confirmed("id"), keys.claim("id"), keys.doctor("id"), keys.leader, keys.writeProbe],
    keys.versionsChannel,
  ];
  for (const name of names) expect(name).toStartWith("sfp-np:statsig");
  expect(keys.leader).toBe("sfp-np:statsig_forward_proxy::leader");
});

test.each([
  ["", true],
  ["sfp:", true],
  ["{sfp}:", true],
  ["a{sfp}b{:", true],
  ["{:", false],
  ["{}:", false],
  ["a{b:", false],
  ["}:", true],
])("the prefix %j is usable on a Cluster: %p", (prefix, isUsable) => {
  expect(isClusterPrefix(prefix)).toBe(isUsable);
  const env = { REDIS_CLUSTER_NODES: "127.0.0.1:1", REDIS_KEY_PREFIX: prefix };
  if (isUsable) expect(readEnvironment(env).keyPrefix).toBe(prefix);
  else expect(problemOf(env)).toContain("for REDIS_KEY_PREFIX (expected no { on a Cluster");
  expect(readEnvironment({ REDIS_KEY_PREFIX: prefix }).keyPrefix).toBe(prefix);
});

describeWith("redis-server", "redis-cli")("A relay with REDIS_KEY_PREFIX", () => {
  let redis: RedisServer;
  let upstream: Upstream;
  beforeAll(async () => {
    redis = await RedisServer.start();
    upstream = await startUpstream();
  });
  afterAll(async () => {
    await upstream?.[Symbol.asyncDispose]();
    await redis?.[Symbol.asyncDispose]();
  });

  test("needs permissions for names with the prefix alone, uses no others, and is read by an original with the prefix", async () => {
    await redis.cli("FLUSHALL");
    const rules = "~np:statsig* &np:statsig_forward_proxy::* +@all";
    const env = {
      ...envOfUser(await limitedUser(redis, `resetchannels ${rules}`, "np")),
      REDIS_KEY_PREFIX: "np",
    };
    expect(await problemsOf(upstream, ["--fleet-polling"], env, "redis")).toEqual([]);
    const { sdkKey, lcut, v2 } = publishKey(upstream, feed.sdkKey);
    const args = ["--fleet-polling", "--double-write-cache-for-legacy-key"];
    await using relay = await startRelayProcess({ upstream, cache: "redis", env, args });
    await ask(relay, sdkKey);
    await using original = new OriginalRelay({ port: redis.port, prefix: "np:" });
    await eventually(async () => expect(await original.read(feed)).toEqual({ lcut, config: v2 }));
    await eventually(async () => {
      const names = (await redis.cli("KEYS", "*")).split("\n");
      expect(names.filter((name) => !name.startsWith("np:statsig"))).toEqual([]);
      for (const part of ["confirmed::", "claim::", "write_probe", "|plain_text|"])
        expect(names.some((name) => name.includes(part))).toBe(true);
    });
    expect(relay.output()).not.toContain("Redis permission missing");
  }, 30_000);

  test("names the pattern that it lacks, with its own special characters escaped", async () => {
    const options = await limitedUser(redis, "~other* resetchannels +@all", "glob");
    await using use = new RedisUse({ ...options, keyPrefix: "a*b:" });
    await expect(use.backup().write(await preparedSnapshot(feed, 1))).rejects.toThrow("may not use this key");
    await use.connection.send("GET", [use.connection.keys.leader]).catch(() => undefined);
    const missing = use.connection.permissions.missing.map(({ permission }) => permission);
    expect(missing).toEqual(["~a\\*b:statsig*", "~a\\*b:statsig_forward_proxy::*"]);
    await limitedUser(redis, `${missing.join(" ")} resetchannels +@all`, "glob");
    expect(await use.backup().write(await preparedSnapshot(feed, 1))).toEqual({ kind: "written" });
  });

  test("does not see the entries and notices of relays with another prefix", async () => {
    await redis.cli("FLUSHALL");
    await using uses = new AsyncDisposableStack();
    const [one, other] = ["one:", "other:"].map((keyPrefix) =>
      uses.use(new RedisUse({ ...redis.options, keyPrefix })),
    ) as [RedisUse, RedisUse];
    await one.backup().write(await preparedSnapshot(feed, 1));
    expect((await one.backup().read(feed, -1)).kind).toBe("found");
    expect((await other.backup().read(feed, -1)).kind).toBe("none");
  });

  test("can be a hash tag on a Cluster, which puts all keys on one node: polls are shared, and configs written", async () => {
    await using cluster = await RedisCluster.start();
    await using use = new RedisUse({ ...cluster.options, keyPrefix: "{sfp}:" });
    await using notices = new RedisNotices(use.connection, systemClock, strictSupervisor());
    const channel = new RedisFleetChannel(use.connection, notices, systemClock);
    await eventually(async () => {
      const seen = await channel.look(feed, { freshForMs: 1_000, claimedForMs: 60_000 });
      expect(["ours", "claimed"]).toContain(seen.turn.kind);
    });
    for (let lcut = 1; lcut <= 5; lcut++) {
      const of = feedOf(`secret-${lcut}`);
      await use.backup({ schemas: ["v4", "v3"] }).write(await preparedSnapshot(of, lcut));
    }
    const sizes = await Promise.all(cluster.nodes.map((node) => node.cli("DBSIZE")));
    expect(sizes.filter((size) => size !== "0")).toHaveLength(1);
  }, 30_000);
});
