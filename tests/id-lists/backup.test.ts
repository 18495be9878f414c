import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay, type IdListRelayOptions } from "../support/id-lists/id-list-relay.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";
import { RedisServer } from "../support/redis/redis-server.ts";

const key = "secret-backed-up";
const text = listed("acme");

async function newFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "sfp-id-lists-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

const down = (upstream: IdListUpstream) => {
  upstream.fault = () => new Response("no", { status: 500 });
};

const statusOf = async (relay: IdListRelay, sdkKey = key) =>
  (await fetch(`${relay.url}/v1/get_id_lists/${sdkKey}.json`)).status;

function describeBackup(name: "local" | "redis", backup: () => Partial<IdListRelayOptions>): void {
  const start = (upstream: IdListUpstream, folder: string, values = {}) =>
    IdListRelay.start({ ...backup(), cache: name, upstream, folder, values });

  describe(`manifests in the ${name} backup`, () => {
    test("serves manifest and files of the previous run if upstream is down", async () => {
      await using upstream = new IdListUpstream();
      await using folder = await newFolder();
      upstream.put(key, "list", text);
      const proxy = { "proxy-id-lists": "true" };
      const served = await (async () => {
        await using relay = await start(upstream, folder.path, proxy);
        await written(relay);
        return await relay.text(key, "list");
      })();
      expect(served).toBe(text);
      down(upstream);
      await using relay = await start(upstream, folder.path, proxy);
      expect(await relay.text(key, "list")).toBe(text);
      expect(await statusOf(relay, "secret-never-seen")).toBe(503);

      upstream.fault = () => undefined;
      upstream.append(key, "list", listed("globex"));
      await relay.poll();
      await eventually(async () => expect(await relay.text(key, "list")).toBe(text + listed("globex")));
    });

    test("serves from the backup after a second if upstream hangs", async () => {
      await using upstream = new IdListUpstream();
      await using folder = await newFolder();
      upstream.put("secret-hangs", "list", text);
      {
        await using relay = await start(upstream, folder.path);
        await written(relay, "secret-hangs");
      }
      const hanging = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: () => new Promise<Response>(() => {}),
      });
      await using _hanging = { [Symbol.asyncDispose]: () => hanging.stop(true) };
      const { env } = backup();
      await using relay = await IdListRelay.start({
        ...backup(),
        cache: name,
        folder: folder.path,
        env: { ...env, STATSIG_ENDPOINT: hanging.url.origin },
      });
      const began = performance.now();
      expect(await statusOf(relay, "secret-hangs")).toBe(200);
      // Without the backup, the response would come after 9 s.
      expect(performance.now() - began).toBeWithin(900, 6_000);
    });

    test("lets a 401 take precedence over the backup, and empties it with --clear-datastore-on-unauthorized", async () => {
      await using upstream = new IdListUpstream();
      await using folder = await newFolder();
      const clear = { "clear-datastore-on-unauthorized": "true" };
      upstream.put("secret-revoked", "list", text);
      {
        await using relay = await start(upstream, folder.path, clear);
        await written(relay, "secret-revoked");
        upstream.fault = () => new Response("no", { status: 401 });
        await relay.poll();
        await eventually(async () => expect(await statusOf(relay, "secret-revoked")).toBe(401));
      }
      down(upstream);
      await using relay = await start(upstream, folder.path, clear);
      expect(await statusOf(relay, "secret-revoked")).toBe(503);
    });
  });

  /** Requests the key, and waits until it is in the backup. */
  async function written(relay: IdListRelay, sdkKey = key): Promise<void> {
    await relay.manifest(sdkKey);
    // A clean shutdown finishes pending writes, and Redis is fast.
    await Bun.sleep(50);
  }
}

describeBackup("local", () => ({}));

describe("a local backup in which a removal fails", () => {
  const clear = { "clear-datastore-on-unauthorized": "true" };
  const key = "secret-removed-later";

  /** Upstream rejects a key that the backup has a manifest of, while another process locks the database. */
  async function revokeWhileLocked(relay: IdListRelay): Promise<DatabaseSync> {
    const { upstream } = relay;
    await relay.manifest(key);
    const hasRow = () => {
      using db = disposable(new DatabaseSync(join(relay.folder, "specs.sqlite"), { readOnly: true }));
      return db.value.prepare("SELECT count(*) AS count FROM spec").get()?.["count"];
    };
    await eventually(() => expect(hasRow()).toBe(1));
    const other = new DatabaseSync(join(relay.folder, "specs.sqlite"));
    // The relay may be writing.
    await eventually(() => other.exec("BEGIN IMMEDIATE"));
    upstream.fault = () => new Response("no", { status: 401 });
    await relay.poll();
    const failed = () => relay.log.filter((line) => /backup/i.test(line) && /remove/.test(line));
    await eventually(() => expect(failed()).toHaveLength(1), { withinMs: 15_000 });
    return other;
  }

  test("has the manifest removed when it works again, and is not read until then", async () => {
    await using upstream = new IdListUpstream();
    await using folder = await newFolder();
    upstream.put(key, "list", text);
    const options = { cache: "local", upstream, folder: folder.path, values: clear } as const;
    {
      await using relay = await IdListRelay.start(options);
      using other = disposable(await revokeWhileLocked(relay));
      down(upstream);
      expect(await statusOf(relay, key)).not.toBe(200);
      other.value.exec("ROLLBACK");
      await eventually(
        () => {
          using db = disposable(new DatabaseSync(join(folder.path, "specs.sqlite"), { readOnly: true }));
          expect(db.value.prepare("SELECT count(*) AS count FROM spec").get()).toEqual({ count: 0 });
        },
        { withinMs: 15_000 },
      );
    }
    await using relay = await IdListRelay.start(options);
    expect(await statusOf(relay, key)).toBe(503);
  }, 40_000);
});

test("a local backup that is replaced by an empty one has the manifest again at once", async () => {
  await using relay = await IdListRelay.start({ cache: "local" });
  relay.upstream.put("secret-replaced", "list", text);
  await relay.manifest("secret-replaced");
  const path = join(relay.folder, "specs.sqlite");
  const rows = () => {
    using db = disposable(new DatabaseSync(path, { readOnly: true }));
    return db.value.prepare("SELECT count(*) AS count FROM spec").get()?.["count"];
  };
  await eventually(() => expect(rows()).toBe(1));
  for (const suffix of ["", "-wal", "-shm"]) await rm(`${path}${suffix}`, { force: true });
  await eventually(
    () => {
      // The file is checked every ten seconds.
      relay.clock.wake(10_000);
      expect(rows()).toBe(1);
    },
    { withinMs: 15_000, everyMs: 100 },
  );
  expect(relay.upstream.manifestsAsked()).toBe(1);
}, 30_000);

function disposable(value: DatabaseSync): Disposable & { readonly value: DatabaseSync } {
  return { value, [Symbol.dispose]: () => value.close() };
}

describeWith("redis-server")("redis", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis[Symbol.asyncDispose]());
  const env = () => ({ REDIS_URL: `redis://127.0.0.1:${redis.port}` });
  describeBackup("redis", () => ({ env: env() }));

  test("has the key and the value that SDKs' data stores read, with a TTL", async () => {
    await using relay = await IdListRelay.start({ cache: "redis", env: env() });
    relay.upstream.put("secret-named", "list", text);
    const manifest = await relay.manifest("secret-named");
    const owner = createHash("sha256").update("secret-named").digest("base64");
    const name = `statsig|/v1/get_id_lists|plain_text|${owner}`;
    await eventually(async () => {
      expect(JSON.parse(await redis.cli("HGET", name, "config"))).toEqual(manifest);
    });
    expect(await redis.cli("HGET", name, "encoding")).toBe("plain_text");
    expect(Number(await redis.cli("TTL", name))).toBeWithin(86_000, 86_401);
  });
});
