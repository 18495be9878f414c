import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import type { RedisKeySchema } from "../../src/redis/keys.ts";
import { MAX_HISTORY_BYTES } from "../../src/specs/backup.ts";
import type { Feed } from "../../src/specs/feed.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { OriginalRelay } from "../support/redis/original-relay.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { limitedUser, ORIGINAL_COMMANDS } from "../support/redis/redis-users.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { readBack } from "../support/specs/backup-contract.ts";
import { readHistory, snapshotWith } from "../support/specs/history-contract.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { specProto } from "../support/upstream/proto-payload.ts";

const MEBIBYTE = 1024 * 1024;

const feed = feedOf("secret-of-a-project-with-a-history", "v2", "proto");
const keyIn = (schema: RedisKeySchema): string => UNPREFIXED.entries(feed, [schema])[0].name;
const [v4Key, v3Key] = [keyIn("v4"), keyIn("v3")];
const protoOf = (of: Feed, lcut: number) => Buffer.from(specProto({ lcut, sdkKey: of.sdkKey }));

describeWith("redis-server", "redis-cli")("A history in Redis", () => {
  let server: RedisServer;
  let use: RedisUse;
  beforeAll(async () => {
    server = await RedisServer.start({ config: ["maxmemory-policy noeviction"] });
    use = new RedisUse(server.options);
  });
  afterAll(async () => {
    await use?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await server.cli("CONFIG", "SET", "maxmemory", "0");
    await server.cli("FLUSHALL");
    use.events.length = 0;
  });

  const sizeOf = async (key: string) => Number(await server.cli("MEMORY", "USAGE", key));
  const usedBytes = async () => Number(/used_memory:(\d+)/.exec(await server.cli("INFO", "memory"))?.[1]);

  test("is in the first key of a version, and found whatever key the version is read from", async () => {
    const backup = use.backup({ schemas: ["v4", "v3"] });
    await backup.write(await snapshotWith(feed, 1, "of 1"));
    expect(await server.cli("HGET", v4Key, "history")).toBe("of 1");
    expect(await server.cli("HEXISTS", v3Key, "history")).toBe("0");
    await server.cli("HSET", v4Key, "lcut", "0");
    expect(await readBack(backup, feed)).toMatchObject({ lcut: 1 });
    expect(await readHistory(backup, feed)).toBe("of 1");
  });

  test("stays beside a newer version of an original relay, and is replaced by this project's next one", async () => {
    await using original = new OriginalRelay({ port: server.port, generation: "4.x" });
    const backup = use.backup({ schemas: ["v4"] });
    await backup.write(await snapshotWith(feed, 1, "of 1"));
    await original.update(feed, 2, protoOf(feed, 2));
    expect(await readBack(backup, feed)).toMatchObject({ lcut: 2 });
    expect(await readHistory(backup, feed)).toBe("of 1");
    await backup.write(await snapshotWith(feed, 3, "of 3"));
    expect(await readHistory(backup, feed)).toBe("of 3");
  });

  test.each([
    ["damaged", "of 1\u{1f}\r\n$9999\r\n:1"],
    ["empty", ""],
  ])("that is %s does not keep the version from being read, replaced or touched", async (_, text) => {
    const backup = use.backup();
    const snapshot = await snapshotWith(feed, 1, "of 1");
    await backup.write(snapshot);
    await server.cli("HSET", v3Key, "history", text);
    expect(await readBack(backup, feed)).toMatchObject({ lcut: 1 });
    expect((await readHistory(backup, feed)) ?? "").toBe(text);
    expect(await backup.touch(snapshot)).toBe(true);
    expect(await backup.write(await snapshotWith(feed, 2, "of 2"))).toEqual({ kind: "written" });
    expect(await readHistory(backup, feed)).toBe("of 2");
  });

  test.each([
    ["with all permissions", "~* &* +@all"],
    ["without HSTRLEN", "~* &* +@all -hstrlen"],
  ])("that is longer than 8 MiB is not read, by a user %s", async (_, rules) => {
    await using limited = new RedisUse(await limitedUser(server, rules));
    const backup = limited.backup();
    await backup.write(await snapshotWith(feed, 1, "of 1"));
    await use.connection.bulk.send("HSET", [v3Key, "history", Buffer.alloc(MAX_HISTORY_BYTES + 1)]);
    expect(await readHistory(backup, feed)).toBeUndefined();
    expect(await readBack(backup, feed)).toMatchObject({ lcut: 1 });
  });

  test("is none if the value is not a hash, or if there is no Redis to ask", async () => {
    const backup = use.backup();
    await server.cli("SET", v3Key, "not a hash");
    expect(await backup.readHistory(feed)).toBeUndefined();
    await using gone = await RedisServer.start();
    await using lost = new RedisUse(gone.options);
    await lost.backup().write(await snapshotWith(feed, 1, "of 1"));
    await gone[Symbol.asyncDispose]();
    await expect(lost.backup().readHistory(feed)).rejects.toThrow();
    expect(lost.kinds("redis_read_failed")).toHaveLength(1);
  });

  test("is none for a user that may not read it, and not asked for with JSON", async () => {
    const backup = use.backup();
    await backup.write(await snapshotWith(feed, 1, "of 1"));
    await using limited = new RedisUse(await limitedUser(server, "~* &* +@all -hmget -hget", "unreading"));
    expect(await limited.backup().readHistory(feed)).toBeUndefined();
    const json = feedOf(feed.sdkKey);
    await backup.write(await preparedSnapshot(json, 1));
    await server.cli("HSET", UNPREFIXED.entries(json, ["v3"])[0].name, "history", "of another format");
    const read = await backup.read(json, -1);
    expect(read).toMatchObject({ kind: "found" });
    expect(read).not.toHaveProperty("history");
  });

  describe("never keeps a version from being written to a Redis that is out of memory:", () => {
    const history = randomBytes(2 * MEBIBYTE);

    test("an update of an existing version succeeds without it, and needs no more memory", async () => {
      const backup = use.backup();
      await backup.write(await snapshotWith(feed, 1, "of 1"));
      const before = await sizeOf(v3Key);
      await server.cli("CONFIG", "SET", "maxmemory", "1");
      expect(await backup.write(await snapshotWith(feed, 2, history))).toEqual({ kind: "written" });
      expect(await readBack(backup, feed)).toMatchObject({ lcut: 2 });
      expect(await readHistory(backup, feed)).toBeUndefined();
      expect(await sizeOf(v3Key)).toBeLessThan(before + MEBIBYTE);
      await server.cli("CONFIG", "SET", "maxmemory", "0");
      expect(await backup.write(await snapshotWith(feed, 3, history))).toEqual({ kind: "written" });
      expect(await backup.readHistory(feed)).toHaveLength(history.length);
    });

    test.each([
      ["by a script", "~* &* +@all"],
      ["by a transaction", "~* &* +@all -eval -evalsha"],
      ["by a user with the commands of the original relay", ORIGINAL_COMMANDS],
    ])("a new version succeeds without it where it has room, %s", async (_, rules) => {
      await using limited = new RedisUse(await limitedUser(server, rules));
      const backup = limited.backup();
      // Connects, so that its buffers count as used.
      await backup.write(await snapshotWith(feedOf("secret-first", "v2", "proto"), 1, "of 1"));
      await server.cli("CONFIG", "SET", "maxmemory", String((await usedBytes()) + MEBIBYTE));
      const snapshot = await snapshotWith(feed, 1, history);
      // Redis keeps a buffer of the size of the history for some seconds.
      await eventually(async () => expect(await backup.write(snapshot)).toEqual({ kind: "written" }), {
        withinMs: 15_000,
      });
      expect(await readBack(backup, feed)).toMatchObject({ lcut: 1 });
      expect(await readHistory(backup, feed)).toBeUndefined();
    });

    test("a value of another type is replaced", async () => {
      const backup = use.backup();
      await server.cli("SET", v3Key, "not a hash");
      await server.cli("CONFIG", "SET", "maxmemory", "1");
      expect(await backup.write(await snapshotWith(feed, 1, history))).toEqual({ kind: "written" });
      expect(await readBack(backup, feed)).toMatchObject({ lcut: 1 });
      expect(await readHistory(backup, feed)).toBeUndefined();
    });
  });
});
