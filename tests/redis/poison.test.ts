import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { type RedisKeySchema, sdkKeyDigest } from "../../src/redis/keys.ts";
import type { BackupRead } from "../../src/specs/backup.ts";
import type { Feed } from "../../src/specs/feed.ts";
import { prepare } from "../../src/specs/payload/prepare.ts";
import { describeWith } from "../support/common/needs.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { essence, preparedPayload, preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { specV2 } from "../support/upstream/payloads.ts";

const MAX_BYTES = 64 * 1024 * 1024;

const feed = feedOf("secret-of-the-first-customer");
/** Begins with the same 20 characters, so its v4 key is the same. */
const twin = feedOf("secret-of-the-first-other");

const keyOf = (of: Feed, schema: RedisKeySchema): string => UNPREFIXED.entries(of, [schema])[0].name;
const config = (of: Feed, lcut: number): string => JSON.stringify(specV2({ lcut, sdkKey: of.sdkKey }));
const bare = JSON.stringify(specV2({ lcut: 5 }));

describeWith("redis-server", "redis-cli")("Values of others in Redis", () => {
  let server: RedisServer;
  let use: RedisUse;
  beforeAll(async () => {
    server = await RedisServer.start();
    use = new RedisUse(server.options);
  });
  afterAll(async () => {
    await use?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await server.cli("FLUSHALL");
    use.events.length = 0;
  });

  /** Reads it as a relay does before it serves it. */
  async function outcomeOf(read: BackupRead): Promise<string> {
    if (read.kind !== "found") return read.kind;
    const preparation = await prepare({ raw: read.raw, maxBytes: MAX_BYTES });
    return preparation.kind === "refused" ? `refused: ${preparation.reason}` : preparation.kind;
  }

  const digest = sdkKeyDigest(feed);
  const poisons: readonly (readonly [string, readonly (readonly string[])[], string])[] = [
    ["a text", [["SET", "KEY", "text"]], "unusable"],
    ["a list", [["RPUSH", "KEY", "a"]], "unusable"],
    ["a stream", [["XADD", "KEY", "*", "config", "{}"]], "unusable"],
    ["another hash", [["HSET", "KEY", "name", "value"]], "unusable"],
    ["lcut abc", [["HSET", "KEY", "lcut", "abc", "config", config(feed, 5)]], "unusable"],
    ["lcut -5", [["HSET", "KEY", "lcut", "-5", "config", config(feed, 5)]], "unusable"],
    ["lcut 5.5", [["HSET", "KEY", "lcut", "5.5", "config", config(feed, 5)]], "unusable"],
    ["lcut 1e9", [["HSET", "KEY", "lcut", "1e9", "config", config(feed, 5)]], "unusable"],
    [
      "an lcut above 2^53",
      [["HSET", "KEY", "lcut", "9007199254740993", "config", config(feed, 5)]],
      "unusable",
    ],
    [
      "an lcut of 40 digits",
      [["HSET", "KEY", "lcut", "9".repeat(40), "config", config(feed, 5)]],
      "unusable",
    ],
    ["no lcut", [["HSET", "KEY", "config", config(feed, 5)]], "unusable"],
    ["no config", [["HSET", "KEY", "lcut", "5"]], "unusable"],
    ["an empty config", [["HSET", "KEY", "lcut", "5", "config", ""]], "unusable"],
    [
      "an unknown encoding",
      [["HSET", "KEY", "lcut", "5", "encoding", "zip", "config", config(feed, 5)]],
      "unusable",
    ],
    [
      "another key's digest",
      [["HSET", "KEY", "lcut", "5", "key_digest", sdkKeyDigest(twin), "config", config(feed, 5)]],
      "unusable",
    ],
    [
      "a digest that is none",
      [["HSET", "KEY", "lcut", "5", "key_digest", "", "config", config(feed, 5)]],
      "unusable",
    ],
    [
      "a config cut short",
      [["HSET", "KEY", "lcut", "5", "key_digest", digest, "config", config(feed, 5).slice(0, -9)]],
      "refused: malformed",
    ],
    [
      "another key's config",
      [["HSET", "KEY", "lcut", "5", "key_digest", digest, "config", config(twin, 5)]],
      "refused: other_key",
    ],
    [
      "JSON that says it is protobuf",
      [["HSET", "KEY", "lcut", "5", "encoding", "statsig-br", "config", config(feed, 5)]],
      "unusable",
    ],
  ];

  test.each(poisons)(
    "%s is never served, and the next version takes its place",
    async (_, commands, outcome) => {
      const key = keyOf(feed, "v3");
      for (const command of commands)
        await server.cli(...command.map((word) => (word === "KEY" ? key : word)));
      const backup = use.backup();
      const read = await backup.read(feed, -1);
      expect(await outcomeOf(read)).toBe(outcome);
      expect(use.kinds("redis_read_unusable")).toHaveLength(read.kind === "unusable" ? 1 : 0);
      expect(use.words()).not.toContain(feed.sdkKey);

      const next = await preparedSnapshot(feed, 6);
      expect(await backup.write(next)).toEqual({ kind: "written" });
      const good = await backup.read(feed, -1);
      if (good.kind !== "found") throw new Error(good.kind);
      expect(essence({ ...(await preparedPayload(good.raw)), feed })).toEqual(essence(next));
      expect(Number(await server.cli("PTTL", key))).toBeGreaterThan(0);
      expect(await server.cli("HLEN", key)).toBe("5");
    },
  );

  test("an unusable entry is replaced even by an older version", async () => {
    const fields = ["lcut", "9000", "key_digest", digest, "config", "{"];
    await server.cli("HSET", keyOf(feed, "v3"), ...fields);
    const backup = use.backup();
    const good = await preparedSnapshot(feed, 6);
    expect(await backup.write(good)).toEqual({ kind: "not_newer", lcut: 9000 });
    expect(await backup.write(good, 9000)).toEqual({ kind: "written" });
  });

  test("under a v4 name, two SDK keys with the same beginning never get each other's config", async () => {
    const backup = use.backup({ schemas: ["v4"] });
    expect(keyOf(feed, "v4")).toBe(keyOf(twin, "v4"));
    await backup.write(await preparedSnapshot(feed, 900));
    expect((await backup.read(twin, -1)).kind).toBe("unusable");
    expect(await backup.write(await preparedSnapshot(twin, 800))).toEqual({ kind: "written" });
    expect((await backup.read(twin, -1)).kind).toBe("found");
    expect((await backup.read(feed, -1)).kind).toBe("unusable");
  });

  test.each([
    ["v1", "found", "found"],
    ["v3", "found", "found"],
    ["v4", "refused: other_key", "prepared"],
  ] as const)(
    "an entry of the original under a %s name, without a digest, is checked before use",
    async (schema, unnamed, named) => {
      const old = feedOf(feed.sdkKey, "v1");
      const backup = use.backup({ schemas: [schema] });
      const put = (text: string) => server.cli("HSET", keyOf(old, schema), "lcut", "5", "config", text);
      const taken = async (): Promise<string> => {
        const outcome = await outcomeOf(await backup.read(old, -1));
        return outcome === "prepared" && schema !== "v4" ? "found" : outcome;
      };
      await put(bare);
      expect(await taken()).toBe(unnamed);
      await put(config(feed, 5));
      expect(await taken()).toBe(named);
      await put(config(twin, 5));
      expect(await taken()).toBe("refused: other_key");
    },
  );
});
