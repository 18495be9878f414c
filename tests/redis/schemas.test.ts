import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import type { RedisBackupOptions } from "../../src/redis/backup.ts";
import { detectFormat, isSoleKey } from "../../src/redis/entries/owner.ts";
import type { RedisKeySchema } from "../../src/redis/keys.ts";
import { RedisManifests } from "../../src/redis/manifests.ts";
import type { Feed } from "../../src/specs/feed.ts";
import type { FetchOutcome, SpecSource } from "../../src/specs/source.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { MigratingRelay } from "../support/redis/migrating-relay.ts";
import { OriginalRelay } from "../support/redis/original-relay.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { preparedSnapshot } from "../support/specs/prepared-snapshots.ts";
import { failed, version } from "../support/specs/scripted-source.ts";
import { feedOf, sdkKeyOf } from "../support/specs/snapshots.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { specProto } from "../support/upstream/proto-payload.ts";

const feed = feedOf("secret-of-the-first-customer");
/** Begins with the same 20 characters, so its v4 key is the same. */
const twin = feedOf("secret-of-the-first-other");
const keyOf = (schema: RedisKeySchema, of = feed): string => UNPREFIXED.entries(of, [schema])[0].name;
const config = (lcut: number, of?: Feed): string =>
  JSON.stringify(specV2({ lcut, ...(of && { sdkKey: of.sdkKey }) }));

/** An upstream that fails until `sends` is set. */
class Source implements SpecSource {
  sends: FetchOutcome = failed("unreachable");

  async fetchSpecs(): Promise<FetchOutcome> {
    return this.sends;
  }
}

describeWith("redis-server", "redis-cli")("Entries of one feed under several keys", () => {
  let server: RedisServer;
  let owned: AsyncDisposableStack;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    await owned?.disposeAsync();
    owned = new AsyncDisposableStack();
    await server.cli("FLUSHALL");
  });

  const put = (key: string, lcut: number, text: string) =>
    server.cli("HSET", key, "encoding", "plain_text", "lcut", String(lcut), "config", text);
  const lcutIn = async (schema: RedisKeySchema) => Number(await server.cli("HGET", keyOf(schema), "lcut"));
  const start = (source = new Source(), options: Partial<RedisBackupOptions> = {}) =>
    owned.use(new MigratingRelay(server, source, options));
  const held = (relay: MigratingRelay, of = feed) => relay.store.peek(of)?.snapshot.lcut;

  test.each([
    ["v4", "v3"],
    ["v3", "v4"],
  ] as const)("the newest counts: %s, and it is written to %s", async (newer, older) => {
    await put(keyOf(newer), 20, config(20, feed));
    await put(keyOf(older), 10, config(10, feed));
    const relay = start();
    await relay.poll(feed);
    expect(held(relay)).toBe(20);
    expect(await lcutIn(older)).toBe(20);
  });

  test("a newer one that is damaged is skipped, and overwritten by the next version", async () => {
    await put(keyOf("v4"), 20, config(20, feed).slice(0, -5));
    await put(keyOf("v3"), 10, config(10, feed));
    const source = new Source();
    const relay = start(source);
    await relay.poll(feed);
    expect(held(relay)).toBe(10);
    source.sends = version(15);
    await relay.poll(feed);
    expect([await lcutIn("v4"), await lcutIn("v3")]).toEqual([15, 15]);
  });

  test("a newer one that cannot be an entry is skipped and reported", async () => {
    await put(keyOf("v4"), 20, "");
    await put(keyOf("v3"), 10, config(10, feed));
    const relay = start();
    await relay.poll(feed);
    expect(held(relay)).toBe(10);
    expect(relay.use.kinds("redis_read_unusable", "redis_read").slice(0, 2)).toEqual([
      "redis_read_unusable",
      "redis_read",
    ]);
  });

  test("another SDK key's newer config under the v4 name is skipped, and the relay's own is served", async () => {
    const original = owned.use(new OriginalRelay({ port: server.port }));
    await original.update(twin, 20, config(20, twin));
    await put(keyOf("v3"), 10, config(10, feed));
    const relay = start();
    await relay.poll(feed);
    expect(held(relay)).toBe(10);
    await relay.poll(twin);
    expect(held(relay, twin)).toBe(20);
  });

  test("a config under the v4 name that names no SDK key is not served, and no older version takes its place", async () => {
    const original = owned.use(new OriginalRelay({ port: server.port }));
    await original.update(feed, 20, config(20));
    const source = new Source();
    const relay = start(source);
    await relay.poll(feed);
    expect(held(relay)).toBeUndefined();
    source.sends = version(15);
    await relay.poll(feed);
    expect([await lcutIn("v4"), await lcutIn("v3")]).toEqual([20, 15]);
    source.sends = version(25);
    await relay.poll(feed);
    expect([await lcutIn("v4"), await lcutIn("v3")]).toEqual([25, 25]);
  });

  test("a config under the v4 name that names no SDK key is served if the operator listed the key", async () => {
    const original = owned.use(new OriginalRelay({ port: server.port }));
    await original.update(feed, 20, config(20));
    const relay = start(new Source(), { isSoleKey: (sdkKey) => sdkKey === feed.sdkKey });
    await relay.poll(feed);
    expect(held(relay)).toBe(20);
    await relay.poll(twin);
    expect(held(relay, twin)).toBeUndefined();
  });

  test("a removal deletes an original's config that names no SDK key only if the operator listed the key", async () => {
    const exists = async () => (await server.cli("EXISTS", keyOf("v4"))) === "1";
    const use = owned.use(new RedisUse(server.options));
    await put(keyOf("v4"), 20, config(20));
    await use.backup({ schemas: ["v4", "v3"] }).remove(feed);
    expect(await exists()).toBe(true);
    await use.backup({ schemas: ["v4", "v3"], isSoleKey: () => true }).remove(feed);
    expect(await exists()).toBe(false);
  });

  test("a feed that another relay removed is not written again from what is left of it", async () => {
    const original = owned.use(new OriginalRelay({ port: server.port }));
    await original.update(feed, 20, config(20, feed));
    await server.cli("SET", UNPREFIXED.removal(feed), "1");
    const relay = start();
    await relay.poll(feed);
    expect(held(relay)).toBe(20);
    expect(await server.cli("EXISTS", keyOf("v3"))).toBe("0");
  });

  test("a version that was removed right after it was written is not written again, also next to an original", async () => {
    await server.cli("SET", UNPREFIXED.leader, "an original relay");
    const use = owned.use(new RedisUse(server.options));
    const backup = use.backup({ schemas: ["v4", "v3"] });
    await backup.write(await preparedSnapshot(feed, 7));
    await backup.remove(feed);
    await backup.write(await preparedSnapshot(twin, 7));
    await server.cli("HSET", keyOf("v3", twin), "lcut", "6");
    // Both are looked at two seconds after the writes.
    await eventually(async () => expect(await server.cli("HGET", keyOf("v3", twin), "lcut")).toBe("7"), {
      withinMs: 15_000,
    });
    expect(await server.cli("EXISTS", keyOf("v3"))).toBe("0");
  }, 20_000);

  test("what is written for older readers is v3 and v1, whatever the schemas", async () => {
    const v1 = feedOf(feed.sdkKey, "v1");
    const use = owned.use(new RedisUse(server.options));
    const backup = use.backup({ schemas: ["v4"], doubleWriteLegacy: true });
    await backup.write(await preparedSnapshot(v1, 7));
    await backup.write(await preparedSnapshot(feed, 7));
    const names = [...UNPREFIXED.entries(v1, ["v4", "v3", "v1"]), ...UNPREFIXED.entries(feed, ["v4", "v3"])];
    expect((await server.cli("KEYS", "*")).split("\n").toSorted()).toEqual(
      names.map(({ name }) => name).toSorted(),
    );
  });

  test("protobuf of the original is read although it says plain_text, and JSON in its place is recognized", async () => {
    const proto = feedOf(feed.sdkKey, "v2", "proto");
    const original = owned.use(new OriginalRelay({ port: server.port }));
    await original.update(proto, 20, Buffer.from(specProto({ lcut: 20, sdkKey: proto.sdkKey })));
    expect(await server.cli("HGET", keyOf("v4", proto), "encoding")).toBe("plain_text");
    const relay = start();
    await relay.poll(proto);
    expect(relay.store.peek(proto)?.snapshot).toMatchObject({ lcut: 20, format: "proto", source: "redis" });
    const use = owned.use(new RedisUse(server.options));
    const json = await preparedSnapshot(proto, 30, { format: "json" });
    await use.backup({ schemas: ["v4", "v3"] }).write(json);
    await relay.poll(proto);
    expect(relay.store.peek(proto)?.snapshot).toMatchObject({ lcut: 30, format: "json" });
  });

  test("an original that writes the same protobuf over the relay's entry leaves it usable", async () => {
    const proto = feedOf(feed.sdkKey, "v2", "proto");
    const use = owned.use(new RedisUse(server.options));
    const snapshot = await preparedSnapshot(proto, 20);
    await use.backup({ schemas: ["v4", "v3"] }).write(snapshot);
    const original = owned.use(new OriginalRelay({ port: server.port }));
    await original.write(keyOf("v4", proto), 20, Buffer.from(snapshot.bytes));
    await server.cli("DEL", keyOf("v3", proto));
    const relay = start();
    await relay.poll(proto);
    expect(relay.store.peek(proto)?.snapshot).toMatchObject({ lcut: 20, format: "proto" });
  });

  test("a manifest of ID lists is written under both names, and of the v4 one only the relay's own is read", async () => {
    const use = owned.use(new RedisUse(server.options));
    const manifests = new RedisManifests(use.connection, ["v4", "v3"], 60_000);
    const names = (["v4", "v3"] as const).map((schema) => UNPREFIXED.manifest(feed, schema).name);
    await manifests.writeManifest(feed.sdkKey, '{"a":{}}', 1_000);
    for (const name of names) expect(await server.cli("HGET", name, "config")).toBe('{"a":{}}');
    await server.cli("DEL", names[1] ?? "");
    expect(await manifests.readManifest(feed.sdkKey)).toBe('{"a":{}}');
    expect(await manifests.readManifest(twin.sdkKey)).toBeUndefined();
    await put(names[0] ?? "", 0, '{"of an original":{}}');
    expect(await manifests.readManifest(feed.sdkKey)).toBeUndefined();
    await manifests.writeManifest(feed.sdkKey, '{"b":{}}', 2_000);
    await manifests.removeManifest(feed.sdkKey);
    expect(await server.cli("DBSIZE")).toBe("0");
  });
});

test("a key is the sole one of its v4 name if no other listed key begins alike", () => {
  const [one, alike, other] = [feed.sdkKey, twin.sdkKey, sdkKeyOf("secret-else")];
  expect(isSoleKey(one, [one, other, one])).toBe(true);
  expect(isSoleKey(one, [one, alike])).toBe(false);
  expect(isSoleKey(one, [alike])).toBe(false);
  expect(isSoleKey(other, [one])).toBe(false);
});

test("the format is what the key says, except for JSON that upstream sent for protobuf", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  expect(detectFormat(bytes('{"a":1}'), { format: "proto" })).toBe("json");
  expect(detectFormat(specProto({ lcut: 1 }), { format: "proto" })).toBe("proto");
  expect(detectFormat(bytes("\u001b"), { format: "json" })).toBe("json");
});
