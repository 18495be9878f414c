import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type OperatedRelay, startOperatedRelay } from "../support/relay/operated-relay.ts";
import type { RelayOptions } from "../support/relay/relay-process.ts";
import { lcutOf, publishGate } from "../support/upstream/gate-versions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const PATIENT = { withinMs: 20_000 };

const publish = (upstream: Upstream, sdkKey: string, number: number) =>
  publishGate(upstream, sdkKey, { number, gateValue: true });

async function expectServed(relay: OperatedRelay, sdkKey: string, color: string, lcut: number) {
  expect(await relay.served(sdkKey)).toEqual({ color, lcut });
}

const heldBack = (relay: OperatedRelay, number: number) =>
  eventually(() => expect(relay.relay.output()).toContain(`lcut=${lcutOf(number)} served_lcut=`), PATIENT);

/** Starts a relay that has been rolled back from version 2 to version 1. */
async function startRolledBack(sdkKey: string, upstream: Upstream, options: RelayOptions) {
  publish(upstream, sdkKey, 1);
  const relay = await startOperatedRelay({ upstream, ...options });
  await expectServed(relay, sdkKey, "color 1", lcutOf(1));
  publish(upstream, sdkKey, 2);
  await eventually(() => expectServed(relay, sdkKey, "color 2", lcutOf(2)));
  const { status, body } = await relay.order("/v1/rollback", { key: sdkKey, reason: "the checkout broke" });
  expect([status, body.result]).toEqual([200, "done"]);
  await eventually(() => expectServed(relay, sdkKey, "color 1", lcutOf(2) + 1));
  return { relay, reply: body };
}

test("CACHE local: killed during a pin and restarted without the earlier versions, a relay serves the pinned one", async () => {
  await using upstream = await startUpstream();
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "sfp-pins-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const options = { cache: "local", args: ["--local-cache-path", folder] } as const;
  const sdkKey = "secret-pinned-local";
  {
    const { relay, reply } = await startRolledBack(sdkKey, upstream, options);
    expect(reply.stored).toBe(true);
    await relay.relay.kill();
  }
  publish(upstream, sdkKey, 3);
  await using relay = await startOperatedRelay({ upstream, ...options });
  const masked = (await relay.order("/v1/pins")).body.pins[0].key;
  const unknown = await relay.order("/v1/unpin", { key: masked });
  expect([unknown.status, unknown.body.message]).toEqual([
    404,
    expect.stringContaining("name the key whole"),
  ]);
  await expectServed(relay, sdkKey, "color 1", lcutOf(2) + 1);
  await heldBack(relay, 3);
  await expectServed(relay, sdkKey, "color 1", lcutOf(2) + 1);
  const [pin] = (await relay.status()).pins;
  expect(pin).toMatchObject({ lcut: lcutOf(1), reason: "the checkout broke", by: "127.0.0.1", held_back: 1 });
  const released = await relay.order("/v1/unpin", { key: sdkKey });
  expect([released.status, released.body.to]).toEqual([200, lcutOf(3)]);
  await eventually(() => expectServed(relay, sdkKey, "color 3", lcutOf(3)));
});

test("CACHE disabled: a roll back works, and the reply says that a restart loses it", async () => {
  await using upstream = await startUpstream();
  const sdkKey = "secret-pinned-in-memory";
  const { relay, reply } = await startRolledBack(sdkKey, upstream, {});
  await using _ = relay;
  expect([reply.stored, reply.note]).toEqual([false, expect.stringContaining("a restart loses it")]);
  publish(upstream, sdkKey, 3);
  await heldBack(relay, 3);
  await expectServed(relay, sdkKey, "color 1", lcutOf(2) + 1);
  const { problems } = await relay.status();
  const [problem] = problems.filter(({ kind }) => kind === "key_pinned");
  expect(problem?.text).toContain(`is pinned to version ${lcutOf(1)}`);
  expect(problem?.detail).toContain("2 newer versions are not served; in memory alone");
});

test("released to the version that was rolled back: clients get it again, under a newer lcut", async () => {
  await using upstream = await startUpstream();
  const sdkKey = "secret-released-to-the-same";
  const { relay } = await startRolledBack(sdkKey, upstream, {});
  await using _ = relay;
  expect((await relay.order("/v1/unpin", { key: sdkKey })).body.to).toBe(lcutOf(2));
  await eventually(() => expectServed(relay, sdkKey, "color 2", lcutOf(2) + 2));
  upstream.forgetRequests();
  await eventually(() => expect(upstream.requests.length).toBeGreaterThan(1));
  // Upstream is asked with its own name of the version, and does not send it again.
  for (const { query } of upstream.requests) expect(query.get("sinceTime")).toBe(String(lcutOf(2)));
  await expectServed(relay, sdkKey, "color 2", lcutOf(2) + 2);
  publish(upstream, sdkKey, 3);
  await eventually(() => expectServed(relay, sdkKey, "color 3", lcutOf(3)));
});

test("a feed that is first requested during the pin gets the pinned version too, protobuf as JSON", async () => {
  await using upstream = await startUpstream();
  const sdkKey = "secret-pinned-first-protobuf";
  const { relay } = await startRolledBack(sdkKey, upstream, {});
  await using _ = relay;
  const url = `${relay.relay.httpUrl}/v2/download_config_specs/${sdkKey}.json?supports_proto=true`;
  const response = await fetch(url);
  expect(response.headers.get("content-type")).toContain("application/json");
  expect(await response.text()).toContain('"color 1"');
  // The relay has no version 1 of the v1 API: the newest is better than none.
  expect((await relay.served(sdkKey, "v1")).color).toBe("color 2");
  const { problems } = await relay.status();
  expect(problems.find(({ kind }) => kind === "pinned_version_missing")?.text).toContain("v1/json");
});

describeWith("redis-server")("a fleet with Redis", () => {
  test("one relay is asked: all follow, with and without --fleet-polling, also one that joins and one that is killed", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    await using stack = new AsyncDisposableStack();
    const sdkKey = "secret-pinned-fleet";
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    const together = { cache: "redis", env, args: ["-r", "2", "--fleet-polling"] } as const;
    const alone = { cache: "redis", env, args: ["-r", "2"] } as const;
    publish(upstream, sdkKey, 1);
    const relays: OperatedRelay[] = [];
    const start = async (options: RelayOptions) => {
      const relay = stack.use(await startOperatedRelay({ upstream, ...options }));
      relays.push(relay);
      return relay;
    };
    const everywhere = (color: string, lcut: number) =>
      eventually(async () => {
        for (const relay of relays) await expectServed(relay, sdkKey, color, lcut);
      }, PATIENT);
    for (const options of [together, together, alone, alone]) await start(options);
    await everywhere("color 1", lcutOf(1));
    publish(upstream, sdkKey, 2);
    await everywhere("color 2", lcutOf(2));

    const [first] = relays as [OperatedRelay];
    const { body } = await first.order("/v1/rollback", { key: sdkKey });
    expect([body.result, body.stored]).toEqual(["done", true]);
    await everywhere("color 1", lcutOf(2) + 1);
    // What SDKs get that read Redis themselves.
    const entries = (await redis.cli("KEYS", "statsig|/v2/*|plain_text|*")).trim().split("\n");
    for (const entry of entries) {
      // A relay serves a version that is not stored within 250 ms.
      const config = await eventually(async () => {
        const stored = await redis.cli("HGET", entry, "config");
        expect(stored).toContain(`"time":${lcutOf(2) + 1}`);
        return stored;
      }, PATIENT);
      expect(config).toContain('"color 1"');
    }

    publish(upstream, sdkKey, 3);
    await heldBack(relays[2] as OperatedRelay, 3);
    await heldBack(relays[3] as OperatedRelay, 3);
    await everywhere("color 1", lcutOf(2) + 1);

    await first.relay.kill();
    relays.shift();
    for (const options of [together, alone]) await start(options);
    await everywhere("color 1", lcutOf(2) + 1);
    publish(upstream, sdkKey, 4);
    await heldBack(relays.at(-1) as OperatedRelay, 4);
    await everywhere("color 1", lcutOf(2) + 1);
    for (const relay of relays) expect((await relay.order("/v1/pins")).body.pins).toHaveLength(1);

    // Another relay than the one that was asked for the roll back.
    const released = await (relays.at(-2) as OperatedRelay).order("/v1/unpin", { key: sdkKey });
    expect(released.body.to).toBe(lcutOf(4));
    await everywhere("color 4", lcutOf(4));
    publish(upstream, sdkKey, 5);
    await everywhere("color 5", lcutOf(5));
  }, 120_000);

  test("Redis loses its data during a pin: relays store the pin again, and one that joins keeps it", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    const sdkKey = "secret-pinned-redis-lost";
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    const options = { cache: "redis", env, args: ["-r", "2"] } as const;
    const { relay } = await startRolledBack(sdkKey, upstream, options);
    await using _ = relay;
    await redis.restart();
    publish(upstream, sdkKey, 3);
    await eventually(() => expect(relay.relay.output()).toContain("Redis available again"), PATIENT);
    await heldBack(relay, 3);
    await eventually(
      async () => {
        await using joined = await startOperatedRelay({ upstream, ...options });
        await expectServed(joined, sdkKey, "color 1", lcutOf(2) + 1);
      },
      { withinMs: 20_000 },
    );
    await expectServed(relay, sdkKey, "color 1", lcutOf(2) + 1);
  }, 60_000);

  test("Redis is emptied during a pin without a restart: relays store the pinned version again at once", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    const sdkKey = "secret-pinned-redis-flushed";
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    const options = { cache: "redis", env, args: ["-r", "2"] } as const;
    const { relay } = await startRolledBack(sdkKey, upstream, options);
    await using _ = relay;
    await redis.cli("FLUSHALL");
    await eventually(
      async () => {
        const [entry = ""] = (await redis.cli("KEYS", "statsig|/v2/*|plain_text|*")).split("\n");
        expect(await redis.cli("HGET", entry, "config")).toContain(`"time":${lcutOf(2) + 1}`);
      },
      { withinMs: 20_000 },
    );
    await using joined = await startOperatedRelay({ upstream, ...options });
    await expectServed(joined, sdkKey, "color 1", lcutOf(2) + 1);
  }, 60_000);

  test("without Redis, a roll back works on the relay that is asked, and is stored once Redis is back", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    const sdkKey = "secret-pinned-redis-down";
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    const options = { cache: "redis", env, args: ["-r", "2"] } as const;
    publish(upstream, sdkKey, 1);
    await using relay = await startOperatedRelay({ upstream, ...options });
    await expectServed(relay, sdkKey, "color 1", lcutOf(1));
    publish(upstream, sdkKey, 2);
    await eventually(() => expectServed(relay, sdkKey, "color 2", lcutOf(2)));
    await redis.kill();
    const { body } = await relay.order("/v1/rollback", { key: sdkKey });
    expect([body.result, body.stored]).toEqual(["done", false]);
    await eventually(() => expectServed(relay, sdkKey, "color 1", lcutOf(2) + 1));
    await redis.restart();
    await eventually(async () => expect((await relay.order("/v1/pins")).body.pins[0].stored).toBe(true), {
      withinMs: 20_000,
    });
    await eventually(
      async () => {
        await using joined = await startOperatedRelay({ upstream, ...options });
        await expectServed(joined, sdkKey, "color 1", lcutOf(2) + 1);
      },
      { withinMs: 20_000 },
    );
  }, 60_000);
});
