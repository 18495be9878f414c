import { expect } from "bun:test";
import { createHash } from "node:crypto";
import { Redis } from "ioredis";
import { type RawResponse, rawGet, textOf } from "../support/clients/raw-get.ts";
import { describeWith, testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { store } from "../support/drop-in/redis-states.ts";
import { testRows } from "../support/drop-in/row.ts";
import { OriginalRelay, type OriginalRelayOptions } from "../support/redis/original-relay.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { FIRST_LCUT, forKey, publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";
import { READS, type ReadRow } from "./redis.rows.ts";
import { TOGETHER, WRITES, type WriteRow } from "./redis-writes.rows.ts";

const { afterAll, beforeAll } = testsWith("redis-server");

const PROTO = { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" };

let server: RedisServer;
let redis: Redis;
beforeAll(async () => {
  server = await RedisServer.start();
  redis = new Redis({ port: server.port, host: "127.0.0.1" });
});
afterAll(async () => {
  redis?.disconnect();
  await server?.[Symbol.asyncDispose]();
});

const start = (upstream: Upstream, args: readonly string[] = [], env = {}) =>
  startRelayProcess({
    ...{ upstream, args, mode: "http", cache: "redis" },
    env: { REDIS_URL: `redis://127.0.0.1:${server.port}`, ...env },
  });

describeWith("redis-server")("What a relay finds in Redis while upstream fails", () => {
  let upstream: Upstream;
  let relay: RelayProcess;
  /** A key of its own for each row, which differs from the others in the first 20 characters. */
  const keyOf = (row: ReadRow) =>
    `secret-row-${String(READS.indexOf(row)).padStart(4, "0")}-0123456789-of-the-row`;

  beforeAll(async () => {
    upstream = await startUpstream();
    upstream.misbehave({ kind: "reset" });
    for (const row of READS) {
      await store(redis, keyOf(row), row.stored);
      const fault = row.upstream === "hangs" ? ({ kind: "hang" } as const) : status(row.upstream ?? 500);
      if (row.upstream !== undefined) upstream.misbehave(fault, forKey(keyOf(row)));
    }
    const listed = READS.filter(({ isListed }) => isListed).map(keyOf);
    relay = await start(upstream, ["--preload-sdk-keys", listed.join(",")]);
  });
  afterAll(async () => {
    await relay?.[Symbol.asyncDispose]();
    await upstream?.[Symbol.asyncDispose]();
  });

  const request = (row: ReadRow): Promise<RawResponse> => {
    const file = `${keyOf(row)}.json`;
    switch (row.asks) {
      case "v1":
        return rawGet(`${relay.httpUrl}/v1/download_config_specs/${file}`);
      case "ID lists":
        return rawGet(`${relay.httpUrl}/v1/get_id_lists/${file}`);
      case "protobuf":
        return ask(relay, keyOf(row), PROTO);
      default:
        return ask(relay, keyOf(row));
    }
  };

  testRows(READS, async (row) => {
    const response = await request(row);
    if (row.gets === 401 || row.gets === 503) {
      expect(response.status).toBe(row.gets);
      return;
    }
    expect(response.status).toBe(200);
    if (row.gets === "protobuf 1") {
      expect(response.headers["content-encoding"]).toBe("statsig-br");
      expect(response.headers["x-since-time"]).toBe(String(versionOf(keyOf(row), 1).lcut));
      return;
    }
    const { time } = JSON.parse(textOf(response)) as { readonly time: number };
    expect(time).toBe(versionOf(keyOf(row), row.gets).lcut);
  });
});

describeWith("redis-server")("What a relay writes to Redis", () => {
  const variants = {
    default: { sdkKey: "secret-writes-default-0123456789", args: [], env: {} },
    "double write": {
      sdkKey: "secret-writes-double-0123456789",
      args: ["--double-write-cache-for-legacy-key"],
      env: {},
    },
    prefix: {
      sdkKey: "secret-writes-prefix-0123456789",
      args: ["--double-write-cache-for-legacy-key"],
      env: { REDIS_KEY_PREFIX: " np " },
    },
  } as const satisfies Record<WriteRow["options"], unknown>;

  beforeAll(async () => {
    await redis.flushall();
    await using upstream = await startUpstream();
    const write = async ({ sdkKey, args, env }: (typeof variants)[WriteRow["options"]]) => {
      const { lcut } = publishKey(upstream, sdkKey);
      await using relay = await start(upstream, args, env);
      await ask(relay, sdkKey, PROTO);
      for (const path of ["v1/download_config_specs", "v2/download_config_specs", "v1/get_id_lists"]) {
        await rawGet(`${relay.httpUrl}/${path}/${sdkKey}.json`);
      }
      await eventually(async () => {
        const names = (await redis.keys("*statsig|*")).filter((name) => name.includes(sdkKey.slice(0, 20)));
        expect(names).toHaveLength(4);
        for (const name of names) {
          if (name.includes("config_specs")) expect(await redis.hget(name, "lcut")).toBe(String(lcut));
        }
      });
      await relay.stop();
    };
    await Promise.all(Object.values(variants).map(write));
  }, 60_000);

  testRows(WRITES, async (row) => {
    const { sdkKey } = variants[row.options];
    const digest = (encoding: "hex" | "base64") => createHash("sha256").update(sdkKey).digest(encoding);
    const key = row.key
      .replace("{20}", sdkKey.slice(0, 20))
      .replace("{base64}", digest("base64"))
      .replace("{hex}", digest("hex"));
    const { v1, v2, lcut, proto } = versionOf(sdkKey);
    switch (row.field) {
      case "none":
        expect(await redis.exists(key)).toBe(0);
        return;
      case "TTL":
        expect(await redis.ttl(key)).toBeWithin(Number(row.is) - 60, Number(row.is) + 1);
        return;
      case "own fields":
        expect(await redis.hmget(key, "key_digest", "checksum")).not.toContain(null);
        return;
      case "config":
        expect(await redis.hgetBuffer(key, "config")).toEqual(
          row.is === "protobuf" ? proto : Buffer.from(row.is === "v1" ? v1 : v2),
        );
        return;
      case "encoding":
        expect(await redis.hget(key, "encoding")).toBe(row.is);
        return;
      case "lcut":
        expect(await redis.hget(key, "lcut")).toBe(String(lcut));
    }
  });
});

describeWith("redis-server")("A relay and originals on one Redis", () => {
  let upstream: Upstream;
  let relay: RelayProcess;
  let originals: AsyncDisposableStack;
  beforeAll(async () => {
    await redis.flushall();
    originals = new AsyncDisposableStack();
    upstream = await startUpstream();
    relay = await start(upstream, [
      "--double-write-cache-for-legacy-key",
      "--redis-cache-ttl-in-s",
      "8",
      "-r",
      "9",
    ]);
  });
  afterAll(async () => {
    await originals?.disposeAsync();
    await relay?.[Symbol.asyncDispose]();
    await upstream?.[Symbol.asyncDispose]();
  });

  const original = (options: Partial<OriginalRelayOptions> = {}) =>
    originals.use(new OriginalRelay({ port: server.port, ...options }));
  const publish = (sdkKey: string, number = 0) => publishKey(upstream, sdkKey, number);
  const request = (sdkKey: string, path = "v2") =>
    rawGet(`${relay.httpUrl}/${path}/download_config_specs/${sdkKey}.json`);
  const nameOf = (sdkKey: string) => original().keysOf(feedOf(sdkKey))[0] ?? "";
  const lcutIn = async (sdkKey: string) => Number(await redis.hget(nameOf(sdkKey), "lcut"));
  const writes = (sdkKey: string, lcut: number) =>
    eventually(async () => expect(await lcutIn(sdkKey)).toBe(lcut));
  const config = (sdkKey: string, number: number) => versionOf(sdkKey, number).v2;

  const readsWhatIsWritten = async (
    sdkKey: string,
    options: Partial<OriginalRelayOptions>,
    path: "v1" | "v2",
  ) => {
    const { lcut, v1, v2 } = publish(sdkKey);
    await request(sdkKey, path);
    const reader = original(options);
    const feed = feedOf(sdkKey, path);
    await eventually(async () =>
      expect(await reader.read(feed)).toEqual({ lcut, config: path === "v1" ? v1 : v2 }),
    );
  };

  /** Runs the check while upstream rejects an SDK key that a relay has in Redis. */
  const whileRejected = async (sdkKey: string, args: readonly string[], check: () => Promise<void>) => {
    publish(sdkKey);
    await using other = await start(upstream, args);
    await ask(other, sdkKey);
    await writes(sdkKey, FIRST_LCUT);
    upstream.misbehave(status(401), forKey(sdkKey));
    await check();
  };

  const checks: Readonly<Record<string, () => Promise<void>>> = {
    "original reads": () => readsWhatIsWritten("secret-read-by-4x", { generation: "4.x" }, "v2"),
    "3.x reads": () => readsWhatIsWritten("secret-read-by-3x", { generation: "3.x" }, "v2"),
    "1.x reads": () => readsWhatIsWritten("secret-read-by-1x", { generation: "1.x" }, "v1"),
    "original leads": async () => {
      const sdkKey = "secret-original-leads";
      const leader = original();
      await leader.update(feedOf(sdkKey), FIRST_LCUT, config(sdkKey, 0));
      const { lcut } = publish(sdkKey, 3);
      await request(sdkKey);
      await writes(sdkKey, lcut);
      expect(await redis.get("statsig_forward_proxy::leader")).toBe(leader.id);
      await redis.del("statsig_forward_proxy::leader");
    },
    "original behind": async () => {
      const sdkKey = "secret-original-behind";
      const { lcut } = publish(sdkKey, 3);
      await request(sdkKey);
      await writes(sdkKey, lcut);
      expect(await original().update(feedOf(sdkKey), FIRST_LCUT, config(sdkKey, 0))).toEqual([]);
      expect(await lcutIn(sdkKey)).toBe(lcut);
      await redis.del("statsig_forward_proxy::leader");
    },
    "original ahead": async () => {
      const sdkKey = "secret-original-ahead";
      publish(sdkKey);
      await request(sdkKey);
      await writes(sdkKey, FIRST_LCUT);
      upstream.misbehave({ kind: "reset" }, forKey(sdkKey));
      const { lcut } = versionOf(sdkKey, 3);
      expect(await original().update(feedOf(sdkKey), lcut, config(sdkKey, 3))).toEqual([nameOf(sdkKey)]);
      await eventually(async () => expect(textOf(await request(sdkKey))).toBe(config(sdkKey, 3)));
      await redis.del("statsig_forward_proxy::leader");
    },
    "original alone": async () => {
      const sdkKey = "secret-of-originals-alone";
      const leader = original();
      for (const number of [0, 1]) {
        const { lcut } = versionOf(sdkKey, number);
        expect(await leader.update(feedOf(sdkKey), lcut, config(sdkKey, number))).toHaveLength(1);
      }
      await redis.del("statsig_forward_proxy::leader");
    },
    "leader cut off": async () => {
      const sdkKey = "secret-leader-cut-off";
      const leader = original({ leaderKeyTtlS: 100_000 });
      await leader.update(feedOf("secret-of-the-leader"), 1, "{}");
      const { lcut } = publish(sdkKey);
      await request(sdkKey);
      await writes(sdkKey, lcut);
      expect(await redis.ttl("statsig_forward_proxy::leader")).toBeGreaterThan(1_000);
      await redis.del("statsig_forward_proxy::leader");
    },
    "leader key without TTL": async () => {
      await redis.set("statsig_forward_proxy::leader", "of an original that was killed");
      await eventually(
        async () => expect(await redis.ttl("statsig_forward_proxy::leader")).toBeWithin(1, 10),
        { withinMs: 20_000 },
      );
      await redis.del("statsig_forward_proxy::leader");
    },
    "unchanged polls": async () => {
      const sdkKey = "secret-unchanged-polls";
      publish(sdkKey);
      await request(sdkKey);
      await writes(sdkKey, FIRST_LCUT);
      await redis.expire(nameOf(sdkKey), 4);
      await eventually(async () => expect(await redis.ttl(nameOf(sdkKey))).toBeGreaterThan(5));
    },
    "JSON beside protobuf": async () => {
      const sdkKey = "secret-json-beside-it";
      const { lcut } = publish(sdkKey);
      await ask(relay, sdkKey, PROTO);
      await writes(sdkKey, lcut);
      expect(await redis.hget(nameOf(sdkKey), "config")).toBe(config(sdkKey, 0));
    },
    "protobuf alone": async () => {
      const sdkKey = "secret-proto-alone-01";
      publish(sdkKey);
      await using other = await start(upstream, ["--json-with-protobuf", "false"]);
      await ask(other, sdkKey, PROTO);
      const [proto = ""] = original().keysOf(feedOf(sdkKey, "v2", "proto"));
      await eventually(async () => expect(await redis.exists(proto)).toBe(1));
      upstream.forgetRequests();
      await eventually(() => expect(upstream.count(new RegExp(sdkKey))).toBeGreaterThan(1));
      expect(await redis.exists(nameOf(sdkKey))).toBe(0);
    },
    "TTL of a 1.x key": async () => {
      const sdkKey = "secret-ttl-of-a-1x-key";
      publish(sdkKey);
      await request(sdkKey, "v1");
      const [key = ""] = original({ generation: "1.x" }).keysOf(feedOf(sdkKey, "v1"));
      await eventually(async () => expect(await redis.ttl(key)).toBeWithin(1, 9));
    },
    "rejected key": async () => {
      const sdkKey = "secret-rejected-key";
      await whileRejected(sdkKey, [], async () => {
        upstream.forgetRequests();
        await eventually(() => expect(upstream.count(new RegExp(sdkKey))).toBeGreaterThan(1));
        expect(await redis.exists(nameOf(sdkKey))).toBe(1);
      });
    },
    "rejected key, cleared": async () => {
      const sdkKey = "secret-cleared-at-once";
      const keys = original({ doubleWrite: true }).keysOf(feedOf(sdkKey));
      await whileRejected(sdkKey, ["--clear-datastore-on-unauthorized"], () =>
        eventually(async () => expect(await redis.exists(...keys)).toBe(0)),
      );
    },
  };

  testRows(TOGETHER, async ({ name }) => {
    expect(Object.keys(checks).toSorted()).toEqual(TOGETHER.map((row) => row.name).toSorted());
    await checks[name]?.();
  });
});
