import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RedisOptions } from "../../src/redis/options.ts";
import type { SpecBackup } from "../../src/specs/backup.ts";
import { describeWith } from "../support/common/needs.ts";
import { createRedisCertificates } from "../support/redis/redis-certificates.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { limitedUser, ORIGINAL_COMMANDS } from "../support/redis/redis-users.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { describeBackup } from "../support/specs/backup-contract.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const STARTED_WITHIN_MS = 30_000;

/** Contains characters with a special meaning in a URL, in redis.conf, in a shell or in a protocol. */
const NASTY = "p@ss:w/rd?#[] %41%\"'\\$`*é\t+&=";

interface Place extends AsyncDisposable {
  readonly options: RedisOptions;
}

/** Runs the contract against one Redis, which is started only if its tests run. */
function contract(name: string, start: (owned: AsyncDisposableStack) => Promise<Place>): void {
  describe(name, () => {
    const owned = new AsyncDisposableStack();
    let options: RedisOptions;
    beforeAll(async () => {
      options = owned.use(await start(owned)).options;
    }, STARTED_WITHIN_MS);
    afterAll(() => owned.disposeAsync());
    describeBackup(name, async () => openedBackup(options));
  });
}

function openedBackup(options: RedisOptions): SpecBackup {
  const use = new RedisUse(options);
  const backup = use.backup();
  return {
    source: backup.source,
    read: (...args) => backup.read(...args),
    readHistory: (feed) => backup.readHistory(feed),
    write: (...args) => backup.write(...args),
    touch: (snapshot) => backup.touch(snapshot),
    wasRemoved: (feed) => backup.wasRemoved(feed),
    remove: (feed) => backup.remove(feed),
    async [Symbol.asyncDispose]() {
      await backup[Symbol.asyncDispose]();
      await use[Symbol.asyncDispose]();
    },
  };
}

async function startAs(rules: string): Promise<Place> {
  const server = await RedisServer.start();
  const options = await limitedUser(server, rules);
  return { options, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

describeWith("redis-server", "redis-cli")("Redis as a backup", () => {
  contract("a single Redis", () => RedisServer.start());
  contract("a user with a password of odd characters", () =>
    RedisServer.start({ user: { name: "relay:1@x", password: NASTY } }),
  );
  contract("a Cluster of three", () => RedisCluster.start());
  contract("a user without EVAL", () => startAs("~* &* +@all -eval -evalsha"));
  contract("a user with the commands of the original relay alone", () => startAs(ORIGINAL_COMMANDS));
  contract("a pool of three connections", async () => {
    const server = await RedisServer.start();
    const options = { ...server.options, pool: { min: 2, max: 3 } };
    return { options, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  });
});

describeWith(
  "redis-server",
  "redis-cli",
  "openssl",
)("Redis over TLS as a backup", () => {
  contract("TLS with a client certificate", (owned) => {
    return RedisServer.start({ tls: owned.use(createRedisCertificates()) });
  });
});

describeWith("redis-server", "redis-cli")("The entries of the Redis backup", () => {
  const feed = feedOf("secret-of-a-customer-with-a-long-key");

  test("are hashes with a TTL, for SDKs that read Redis themselves", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    const snapshot = await preparedSnapshot(feed, 7);
    await use.backup({ ttlMs: 100_000 }).write(snapshot);
    const [key = ""] = (await server.cli("KEYS", "*")).split("\n");
    expect(await server.cli("HGET", key, "config")).toBe(new TextDecoder().decode(snapshot.bytes));
    expect(await server.cli("HMGET", key, "encoding", "lcut")).toBe("plain_text\n7");
    expect(await server.cli("HGET", key, "key_digest")).toMatch(/^[A-Za-z0-9+/]{43}=$/);
    expect(Number(await server.cli("PTTL", key))).toBeWithin(90_000, 100_001);
  });

  test("have their TTL extended only by a touch", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    const [old, backup] = [use.backup({ ttlMs: 20_000 }), use.backup({ ttlMs: 100_000 })];
    const snapshot = await preparedSnapshot(feed, 7);
    await old.write(snapshot);
    const [key = ""] = (await server.cli("KEYS", "*")).split("\n");
    await backup.write(snapshot);
    await backup.read(feed, -1);
    expect(Number(await server.cli("PTTL", key))).toBeWithin(0, 20_001);
    expect(await backup.touch(snapshot)).toBe(true);
    expect(Number(await server.cli("PTTL", key))).toBeWithin(90_000, 100_001);
  });

  test("exist for every schema, and a touch checks all of them", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    const backup = use.backup({ schemas: ["v4", "v3"], doubleWriteLegacy: true });
    const v1 = feedOf(feed.sdkKey, "v1");
    const snapshot = await preparedSnapshot(v1, 7);
    await backup.write(snapshot);
    const keys = (await server.cli("KEYS", "*")).split("\n");
    expect(keys).toHaveLength(3);
    expect(await backup.touch(snapshot)).toBe(true);
    await server.cli("DEL", keys.find((key) => key.startsWith("statsig::")) ?? "");
    expect(await backup.touch(snapshot)).toBe(false);
    expect(await backup.wasRemoved(v1)).toBe(false);
    await backup.remove(v1);
    expect(await backup.wasRemoved(v1)).toBe(true);
    expect(await server.cli("KEYS", "*")).toStartWith("statsig_forward_proxy::removed::");
    await backup.write(snapshot);
    expect(await backup.wasRemoved(v1)).toBe(false);
  });

  test("are reported by events", async () => {
    await using server = await RedisServer.start();
    await using use = new RedisUse(server.options);
    const backup = use.backup();
    const snapshot = await preparedSnapshot(feed, 7);
    await backup.read(feed, -1);
    await backup.write(snapshot);
    await backup.write(snapshot);
    await backup.read(feed, -1);
    await backup.remove(feed);
    expect(use.events.map(({ kind }) => kind)).toEqual([
      "redis_read_miss",
      "redis_wrote",
      "redis_write_skipped",
      "redis_read",
      "redis_deleted",
    ]);
    expect(use.words()).not.toContain(feed.sdkKey);
    expect(use.events[1]).toMatchObject({ lcut: 7, bytes: snapshot.bytes.length });
    expect(use.events[2]).toMatchObject({ lcut: 7, keptLcut: 7 });
  });
});
