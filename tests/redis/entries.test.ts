import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { RedisKeySchema } from "../../src/redis/keys.ts";
import type { RedisOptions } from "../../src/redis/options.ts";
import type { BackupRead } from "../../src/specs/backup.ts";
import type { Feed } from "../../src/specs/feed.ts";
import { prepare } from "../../src/specs/payload/prepare.ts";
import { describeWith } from "../support/common/needs.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { limitedUser, ORIGINAL_COMMANDS } from "../support/redis/redis-users.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";

const feed = feedOf("secret-of-the-first-customer");
/** Begins with the same 20 characters, so its v4 key is the same. */
const twin = feedOf("secret-of-the-first-other");

const keyOf = (of: Feed, schema: RedisKeySchema): string => UNPREFIXED.entries(of, [schema])[0].name;
const config = (of: Feed, lcut: number, color?: string): string =>
  JSON.stringify(specV2({ lcut, sdkKey: of.sdkKey, ...(color && { color }) }));

const MEGABYTE = 1024 * 1024;

describeWith("redis-server", "redis-cli")("Entries of Redis", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());
  beforeEach(() => server.cli("FLUSHALL"));

  describe.each([
    ["by scripts", async () => server.options],
    ["with WATCH and MULTI", () => limitedUser(server, "~* &* +@all -eval -evalsha", "unscripted")],
    ["with the commands of the original relay", () => limitedUser(server, ORIGINAL_COMMANDS, "original")],
  ])("%s", (_, connect: () => Promise<RedisOptions>) => {
    const mayAskLengths = _ !== "with the commands of the original relay";
    let use: RedisUse;
    beforeAll(async () => {
      use = new RedisUse(await connect());
    });
    afterAll(() => use?.[Symbol.asyncDispose]());

    /** Writes as the original relay does, which knows no other fields. */
    const originalWrites = (schema: RedisKeySchema, of: Feed, lcut: number, text = config(of, lcut)) =>
      server.cli("HSET", keyOf(of, schema), "encoding", "plain_text", "lcut", String(lcut), "config", text);

    async function versionIn(read: BackupRead): Promise<string | number> {
      if (read.kind !== "found") return read.kind === "unusable" ? read.detail : read.kind;
      const preparation = await prepare({ raw: read.raw, maxBytes: 64 * MEGABYTE });
      if (preparation.kind !== "prepared") return JSON.stringify(preparation);
      const { time } = JSON.parse(new TextDecoder().decode(preparation.payload.bytes)) as { time: number };
      expect(time).toBe(preparation.payload.lcut);
      return preparation.payload.lcut;
    }

    test("a config that is not newer than the stored one is not sent", async () => {
      const backup = use.backup();
      const large = await preparedSnapshot(feed, 10, { bytes: 4 * MEGABYTE });
      expect(await backup.write(large)).toEqual({ kind: "written" });
      const received = async () => {
        const stats = await server.cli("INFO", "stats");
        return Number(/total_net_input_bytes:(\d+)/.exec(stats)?.[1]);
      };
      const before = await received();
      expect(await backup.write(large)).toEqual({ kind: "not_newer", lcut: 10 });
      const older = await preparedSnapshot(feed, 9, { bytes: 4 * MEGABYTE });
      expect(await backup.write(older)).toEqual({ kind: "not_newer", lcut: 10 });
      expect((await received()) - before).toBeLessThan(50_000);
    });

    test("an entry with the same version but a truncated config is repaired by a touch and a write", async () => {
      const backup = use.backup();
      const good = await preparedSnapshot(feed, 10);
      const key = keyOf(feed, "v3");
      await backup.write(good);
      expect(await backup.touch(good)).toBe(true);
      await server.cli("HSET", key, "config", config(feed, 10).slice(0, 40));
      if (!mayAskLengths) return;
      expect(await backup.touch(good)).toBe(false);
      expect(await backup.write(good)).toEqual({ kind: "written" });
      expect(await versionIn(await backup.read(feed, -1))).toBe(10);
      await server.cli("HSET", key, "key_digest", "another key's");
      expect(await backup.touch(good)).toBe(false);
      expect(await backup.write(good)).toEqual({ kind: "written" });
      await server.cli("HDEL", key, "config");
      expect(await backup.touch(good)).toBe(false);
      expect(await backup.write(good)).toEqual({ kind: "written" });
      expect(await backup.touch(good)).toBe(true);
    });

    test("a touch reports an older or missing entry, and keeps a newer one", async () => {
      const backup = use.backup();
      const held = await preparedSnapshot(feed, 10);
      await backup.write(held);
      await originalWrites("v3", feed, 8);
      expect(await backup.touch(held)).toBe(false);
      expect(await backup.write(held)).toEqual({ kind: "written" });
      await originalWrites("v3", feed, 12);
      expect(await backup.touch(held)).toBe(true);
      expect(await versionIn(await backup.read(feed, 10))).toBe(12);
      await server.cli("DEL", keyOf(feed, "v3"));
      expect(await backup.touch(held)).toBe(false);
    });

    test("an entry that original relays change and change back during a read is not mixed", async () => {
      await originalWrites("v3", feed, 10);
      const { bulk } = use.connection;
      const { sendForBytes } = bulk;
      let reads = 0;
      const changing = async (command: string, args: readonly (string | Buffer)[]) => {
        const isFirst = args.includes("config") && reads++ === 0;
        if (isFirst) await originalWrites("v3", feed, 12);
        const reply = await sendForBytes(command, args);
        if (isFirst) await originalWrites("v3", feed, 10);
        return reply;
      };
      using restore = new DisposableStack();
      restore.adopt(Object.assign(bulk, { sendForBytes: changing }), () =>
        Object.assign(bulk, { sendForBytes }),
      );
      const read = await use.backup().read(feed, -1);
      expect(read).toMatchObject({ kind: "found", raw: { headerLcut: mayAskLengths ? 12 : 10 } });
      expect(await versionIn(read)).toBe(mayAskLengths ? 12 : 10);
    });

    test("an entry of the same version with another length is kept if a relay of this project wrote it", async () => {
      const backup = use.backup();
      const ours = await preparedSnapshot(feed, 10, { color: "ours" });
      const other = await preparedSnapshot(feed, 10, { color: "another relay's, and longer" });
      await backup.write(other);
      expect(await backup.write(ours)).toEqual({ kind: "not_newer", lcut: 10 });
      expect(await backup.touch(ours)).toBe(true);
    });

    test("an entry with the lcut of one version and the config of another is not served", async () => {
      const backup = use.backup();
      await backup.write(await preparedSnapshot(feed, 10));
      await server.cli("HSET", keyOf(feed, "v3"), "lcut", "11");
      expect(await versionIn(await backup.read(feed, -1))).toBe("its lcut does not match its config");
      expect(await backup.write(await preparedSnapshot(feed, 12))).toEqual({ kind: "written" });
      expect(await versionIn(await backup.read(feed, -1))).toBe(12);
    });

    test("under a v4 name, a config that an original relay wrote over our entry is not mistaken for ours", async () => {
      const backup = use.backup({ schemas: ["v4"] });
      await backup.write(await preparedSnapshot(feed, 10));
      // The config names no SDK key, so it could be any key's.
      await originalWrites("v4", feed, 11, JSON.stringify(specV2({ lcut: 11 })));
      expect(await versionIn(await backup.read(feed, -1))).toContain("other_key");
      await originalWrites("v4", twin, 12);
      expect(await versionIn(await backup.read(feed, -1))).toContain("other_key");
      expect(await versionIn(await backup.read(twin, -1))).toBe(12);
      await originalWrites("v4", feed, 13);
      expect(await versionIn(await backup.read(feed, -1))).toBe(13);
    });

    test("under a v4 name, removing an SDK key keeps the entry of another key", async () => {
      const backup = use.backup({ schemas: ["v4"] });
      const kept = async () => (await server.cli("EXISTS", keyOf(feed, "v4"))) === "1";
      await backup.write(await preparedSnapshot(feed, 10));
      await backup.remove(twin);
      expect(await versionIn(await backup.read(feed, -1))).toBe(10);
      // An original relay wrote the other key's config, and left our digest of the first key.
      await originalWrites("v4", twin, 11);
      await backup.remove(feed);
      expect(await versionIn(await backup.read(twin, -1))).toBe(11);
      await backup.remove(twin);
      expect(await kept()).toBe(false);
      await originalWrites("v4", feed, 12, JSON.stringify(specV2({ lcut: 12 })));
      await backup.remove(feed);
      expect(await kept()).toBe(true);
      await server.cli("FLUSHALL");
      await backup.write(await preparedSnapshot(feed, 13));
      await backup.remove(feed);
      expect(await kept()).toBe(false);
    });

    test("under a v4 name, removing a protobuf feed keeps the entry of another key, which is found by reading it", async () => {
      const [ours, theirs] = [feedOf(feed.sdkKey, "v2", "proto"), feedOf(twin.sdkKey, "v2", "proto")];
      const backup = use.backup({ schemas: ["v4"] });
      await using writer = new RedisUse(server.options);
      const put = (of: Feed) =>
        writer.connection.send("HSET", [
          ...[keyOf(of, "v4"), "encoding", "statsig-br", "lcut", "5", "config"],
          Buffer.from(specProto({ lcut: 5, sdkKey: of.sdkKey })),
        ]);
      await put(theirs);
      await backup.remove(ours);
      expect((await backup.read(theirs, -1)).kind).toBe("found");
      await backup.remove(theirs);
      expect(await backup.read(theirs, -1)).toEqual({ kind: "none" });
    });

    test.each(["v1", "v3"] as const)("a removal deletes any value under a %s name", async (schema) => {
      const v1 = feedOf(feed.sdkKey, "v1");
      const backup = use.backup({ schemas: [schema] });
      const key = keyOf(v1, schema);
      for (const put of [
        ["SET", key, "text"],
        ["HSET", key, "lcut", "9", "config", "{"],
      ]) {
        await server.cli(...put);
        await backup.remove(v1);
        expect(await server.cli("EXISTS", key)).toBe("0");
      }
    });

    test("a removal of a missing entry writes nothing", async () => {
      await use.backup({ schemas: ["v3", "v4"] }).remove(feed);
      expect(await server.cli("DBSIZE")).toBe("0");
    });

    test("two SDK keys that share a v4 name do not overwrite each other with every touch", async () => {
      const backup = use.backup({ schemas: ["v4"] });
      const [first, second] = [await preparedSnapshot(feed, 10), await preparedSnapshot(twin, 5)];
      await backup.write(first);
      expect(await backup.write(second)).toEqual({ kind: "written" });
      expect(await backup.touch(first)).toBe(true);
      expect(await backup.touch(second)).toBe(true);
    });
  });
});
