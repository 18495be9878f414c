import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type AddressInfo, createServer } from "node:net";
import { DEFAULT_REDIS_OPTIONS, type RedisOptions } from "../../src/redis/options.ts";
import { textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { unlessStalled } from "../support/common/stalls.ts";
import { eventually, within } from "../support/common/wait.ts";
import { createRedisCertificates } from "../support/redis/redis-certificates.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { type LinkedConnection, ThrottledLink } from "../support/redis/throttled-link.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const MB = 1_000_000;
const KEY = "statsig-large";

const isBulk = ({ bytesUp, bytesDown }: LinkedConnection) => bytesUp + bytesDown > 100_000;

/** A Redis behind a slow link, and the relay's connections to it. */
async function slowRedis(
  link: { bytesPerSecond: number; bufferBytes?: number },
  options: Partial<RedisOptions> = {},
) {
  await using started = new AsyncDisposableStack();
  const server = started.use(await RedisServer.start());
  const slow = started.use(await ThrottledLink.start({ targetPort: server.port, ...link }));
  const address = { kind: "single", host: "127.0.0.1", port: slow.port, db: 0 } as const;
  const use = started.use(new RedisUse({ ...server.options, address, ...options }));
  // Both connections are up.
  await Promise.all([use.connection.send("PING", []), use.connection.bulk.send("PING", [])]);
  const owned = started.move();
  return { server, link: slow, use, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

/** The outcome and duration of a large command, and how many small ones succeeded meanwhile. */
async function besides(use: RedisUse, large: Promise<unknown>) {
  const startedAt = performance.now();
  let isOver = false;
  let answered = 0;
  const smallOnes = (async () => {
    while (!isOver) {
      await use.connection.send("PING", []);
      answered++;
      await Bun.sleep(10);
    }
  })();
  try {
    const answer = await large;
    return { answer, seconds: (performance.now() - startedAt) / 1_000, answered };
  } finally {
    isOver = true;
    await smallOnes.catch(() => undefined);
  }
}

/** The failure of a command, its kind, and after how long. */
async function failure(work: Promise<unknown>) {
  const startedAt = performance.now();
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: "RedisFailure" });
  const { kind, message } = error as { kind: string; message: string };
  return { kind, message, ms: performance.now() - startedAt };
}

// Most of the time these wait for their links.
describeWith("redis-server", "redis-cli")("Over a slow link", () => {
  test.concurrent.each([
    ["a network", {}],
    ["a proxy that buffers everything", { bufferBytes: 32 * MB }],
  ])(
    "that is %s, a large value is written and read back, and small commands do not wait for it",
    async (_, link) => {
      await using redis = await slowRedis({ bytesPerSecond: MB, ...link });
      const { bulk } = redis.use.connection;
      const value = randomBytes(4 * MB);
      const written = await besides(redis.use, bulk.send("SET", [KEY, value]));
      expect(written.answer).toBe("OK");
      const read = await besides(redis.use, bulk.sendForBytes("GET", [KEY]));
      expect(value.equals(read.answer as Buffer)).toBeTrue();
      for (const { seconds, answered } of [written, read]) {
        // Longer than the time limit of a small command.
        expect(seconds).toBeGreaterThan(3);
        expect(answered).toBeGreaterThan(seconds);
      }
      expect(redis.use.events).toEqual([]);
    },
    30_000,
  );

  test.concurrent("many large values can be written at once", async () => {
    await using redis = await slowRedis({ bytesPerSecond: 4 * MB });
    const { bulk } = redis.use.connection;
    const values = Array.from({ length: 12 }, () => randomBytes(2 * MB));
    const writes = Promise.all(values.map((value, at) => bulk.send("SET", [`${KEY}-${at}`, value])));
    const written = await besides(redis.use, writes);
    expect(written.answer).toEqual(values.map(() => "OK"));
    expect(written.seconds).toBeGreaterThan(3);
    expect(written.answered).toBeGreaterThan(written.seconds);
    for (const [at, value] of values.entries()) {
      expect(await redis.server.cli("STRLEN", `${KEY}-${at}`)).toBe(String(value.length));
    }
    expect(redis.use.events).toEqual([]);
  }, 40_000);
});

const LIMIT_MS = 1_000;

/** A relay's connection to a server that starts like a Redis, and replies to everything else with endless bytes. */
async function endless(bytesPerTick: number, maxReplyBytes: number) {
  await using started = new AsyncDisposableStack();
  const server = createServer((socket) => {
    let ticks: Timer | undefined;
    socket.on("error", () => undefined);
    socket.on("close", () => clearInterval(ticks));
    socket.on("data", (data) => {
      const text = String(data).toLowerCase();
      if (text.includes("get") && ticks === undefined) {
        socket.write("$999999999999\r\n");
        ticks = setInterval(() => socket.write(Buffer.alloc(bytesPerTick)), 50);
      } else if (ticks === undefined) {
        const commands = text.match(/\*\d+\r\n/g) ?? [];
        socket.write((text.includes("eval") ? "+up\r\n" : "+OK\r\n").repeat(commands.length));
      }
    });
  });
  started.defer(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = {
    kind: "single",
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    db: 0,
  } as const;
  const options = { ...DEFAULT_REDIS_OPTIONS, address, commandTimeoutMs: LIMIT_MS, maxReplyBytes };
  const use = new RedisUse(options);
  started.use(use);
  const owned = started.move();
  return { use, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

describe("An endless reply", () => {
  test("fails when it exceeds the maximum size of a reply", async () => {
    await using redis = await endless(MB, 4 * MB);
    const read = await failure(redis.use.connection.bulk.send("GET", [KEY]));
    expect(read).toMatchObject({ kind: "garbage", message: "a reply is too large" });
  }, 15_000);

  test("that arrives byte by byte does not delay closing", async () => {
    await using redis = await endless(1, 4 * MB);
    const read = failure(redis.use.connection.bulk.send("GET", [KEY]));
    // It does not count as a stall.
    await Bun.sleep(2 * LIMIT_MS);
    await within(redis.use[Symbol.asyncDispose](), 4_000, "the end of the connections");
    expect(await read).toMatchObject({ kind: "unreachable", message: "connection closed" });
    expect(redis.use.events).toEqual([]);
  }, 15_000);
});

describeWith("redis-server", "redis-cli")("A link that stops", () => {
  test.each([
    ["a network, while a value is written", "SET", {}],
    ["a network, while a value is read", "GET", {}],
    ["a proxy that took all of a value", "SET", { bufferBytes: 32 * MB }],
  ])(
    "(%s) is noticed after the limit, reported once, and used again",
    async (_, command, link) => {
      await using redis = await slowRedis({ bytesPerSecond: MB, ...link }, { commandTimeoutMs: LIMIT_MS });
      const { use } = redis;
      await redis.server.cli("SETRANGE", KEY, String(8 * MB), "x");
      const args = command === "SET" ? [KEY, randomBytes(8 * MB)] : [KEY];
      const large = failure(use.connection.bulk.send(command, args));
      await eventually(() => expect(redis.link.connections.some(isBulk)).toBeTrue());
      const cutAt = performance.now();
      redis.link.cut();
      expect((await large).kind).toBe("timeout");
      expect(performance.now() - cutAt).toBeGreaterThan(LIMIT_MS * 0.9);
      await use.untilEmitted("redis_down");
      redis.link.setRate(100 * MB);
      redis.link.resume();
      await use.untilEmitted("redis_up");
      await eventually(async () => expect(await use.connection.bulk.send("SET", [KEY, "small"])).toBe("OK"));
      expect(use.outages).toEqual(["redis_down", "redis_up"]);
    },
    30_000,
  );

  test("only for large values is an outage during which small commands succeed", async () => {
    await using redis = await slowRedis({ bytesPerSecond: MB }, { commandTimeoutMs: LIMIT_MS });
    const { use } = redis;
    const large = failure(use.connection.bulk.send("SET", [KEY, randomBytes(8 * MB)]));
    await eventually(() => expect(redis.link.connections.some(isBulk)).toBeTrue());
    redis.link.cut(isBulk);
    const { answer, answered, seconds } = await besides(use, large);
    expect(answer).toMatchObject({ kind: "timeout", message: "no data transferred for 1 s" });
    expect(answered).toBeGreaterThan(seconds);
    expect(use.connection.isUp).toBeTrue();
    await use.untilEmitted("redis_up");
    expect(use.events).toMatchObject([
      { kind: "redis_down", reason: "no data transferred for 1 s" },
      { kind: "redis_up" },
    ]);
    expect(await use.connection.bulk.send("SET", [KEY, "small"])).toBe("OK");
  }, 30_000);

  test("while the connection for large values is idle is noticed on the other one", async () => {
    await using redis = await slowRedis({ bytesPerSecond: 100 * MB }, { commandTimeoutMs: LIMIT_MS });
    const { use } = redis;
    const bulkId = async () => {
      const list = await redis.server.cli("CLIENT", "LIST");
      return [...list.matchAll(/id=(\d+) .* name=statsig-forward-proxy-bulk /g)].map(([, id]) => id);
    };
    const [before] = await bulkId();
    redis.link.cut();
    expect((await failure(use.connection.send("PING", []))).kind).toBe("timeout");
    await Bun.sleep(2 * LIMIT_MS);
    redis.link.resume();
    await use.untilEmitted("redis_up");
    await eventually(async () => expect(await bulkId()).not.toContain(before));
    expect(await use.connection.bulk.send("SET", [KEY, "small"])).toBe("OK");
  }, 30_000);
});

describeWith(
  "redis-server",
  "redis-sentinel",
  "redis-cli",
  "openssl",
)("Over a slow link to", () => {
  const value = randomBytes(4 * MB);

  /** A process that stands still for a while looks like a link that does. */
  const writesAndReads = (options: RedisOptions) =>
    unlessStalled(LIMIT_MS / 4, () => writesAndReadsOnce(options));

  async function writesAndReadsOnce(options: RedisOptions): Promise<void> {
    await using use = new RedisUse({ ...options, commandTimeoutMs: LIMIT_MS });
    const { bulk } = use.connection;
    // Of an earlier attempt there may be one.
    await eventually(async () => expect(await bulk.send("DEL", [KEY])).toBeWithin(0, 2));
    const written = await besides(use, bulk.send("SET", [KEY, value]));
    expect(written.answer).toBe("OK");
    const read = await besides(use, bulk.sendForBytes("GET", [KEY]));
    expect(value.equals(read.answer as Buffer)).toBeTrue();
    expect(Math.min(written.seconds, read.seconds)).toBeGreaterThan(LIMIT_MS / 1_000);
    expect(use.events).toEqual([]);
  }

  test.concurrent("a node of a Cluster, a large value is written and read back, and a link that stops is noticed", async () => {
    await using cluster = await RedisCluster.start();
    const node = await cluster.findNode(KEY);
    await using link = await ThrottledLink.start({ targetPort: node.port, bytesPerSecond: 2 * MB });
    await node.cli("CONFIG", "SET", "cluster-announce-port", String(link.port));
    await eventually(
      async () => {
        for (const each of cluster.nodes) {
          expect(await each.cli("CLUSTER", "SLOTS")).toContain(String(link.port));
        }
      },
      { withinMs: 15_000 },
    );
    await writesAndReads(cluster.options);

    await eventually(() => expect(link.connections.filter(isBulk)).toEqual([]));
    await using use = new RedisUse({ ...cluster.options, commandTimeoutMs: LIMIT_MS });
    const large = failure(use.connection.bulk.send("SET", [KEY, value]));
    await eventually(() => expect(link.connections.some(isBulk)).toBeTrue());
    link.cut();
    expect(await large).toMatchObject({ kind: "timeout" });
    const again = await failure(use.connection.bulk.send("SET", [KEY, value]));
    expect(again.ms).toBeLessThan(20 * LIMIT_MS);
    link.resume();
    await eventually(async () => expect(await use.connection.bulk.send("SET", [KEY, "small"])).toBe("OK"));
  }, 60_000);

  test.concurrent("a Redis with TLS, a large value is written and read back, and a link that stops is noticed", async () => {
    using tls = createRedisCertificates();
    await using server = await RedisServer.start({ tls });
    await using link = await ThrottledLink.start({ targetPort: server.port, bytesPerSecond: 2 * MB });
    const address = { kind: "single", host: "127.0.0.1", port: link.port, db: 0 } as const;
    await writesAndReads({ ...server.options, address });

    await eventually(() => expect(link.connections.filter(isBulk)).toEqual([]));
    await using use = new RedisUse({ ...server.options, address, commandTimeoutMs: LIMIT_MS });
    const large = failure(use.connection.bulk.send("SET", [KEY, value]));
    await eventually(() => expect(link.connections.some(isBulk)).toBeTrue());
    link.cut();
    expect(await large).toMatchObject({ kind: "timeout" });
  }, 60_000);

  test.concurrent("the master that a Sentinel names, a large value is written and read back", async () => {
    await using server = await RedisServer.start();
    await using link = await ThrottledLink.start({ targetPort: server.port, bytesPerSecond: 2 * MB });
    const config = [`sentinel monitor m 127.0.0.1 ${link.port} 1`];
    await using sentinel = await RedisServer.start({ sentinel: true, config });
    const sentinels = [{ host: "127.0.0.1", port: sentinel.port }];
    await writesAndReads({ ...server.options, address: { kind: "sentinel", sentinels, master: "m" } });
  }, 60_000);
});

describeWith("redis-server", "redis-cli")("A relay with Redis over a slow link", () => {
  test.concurrent("writes a large config there, and one that starts without upstream serves it", async () => {
    await using server = await RedisServer.start();
    await using link = await ThrottledLink.start({ targetPort: server.port, bytesPerSecond: MB });
    await using upstream = await startUpstream();
    const sdkKey = "secret-large";
    const large = JSON.stringify(padTo(specV2({ sdkKey, lcut: FIRST_LCUT }), 4 * MB));
    upstream.publish(sdkKey, "v2", large, FIRST_LCUT);
    const env = { REDIS_URL: `redis://127.0.0.1:${link.port}` };
    const start = () => startRelayProcess({ upstream, cache: "redis", env });
    const waitUntil = { withinMs: 40_000, everyMs: 250 };
    {
      await using relay = await start();
      const answer = await eventually(() => ask(relay, sdkKey), waitUntil);
      expect(textOf(answer)).toBe(large);
      await eventually(async () => {
        const [key = ""] = (await server.cli("KEYS", "statsig|*")).split("\n");
        expect(await server.cli("HSTRLEN", key, "config")).toBe(String(large.length));
      }, waitUntil);
      expect(relay.output()).not.toContain("Redis unavailable");
    }
    await upstream.stop();
    await using relay = await start();
    await eventually(async () => expect(textOf(await ask(relay, sdkKey))).toBe(large), waitUntil);
    expect(relay.output()).not.toContain("Redis unavailable");
  }, 120_000);
});
