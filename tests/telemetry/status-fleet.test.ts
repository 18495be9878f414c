import { expect, test } from "bun:test";
import { hostname } from "node:os";
import { describeWith } from "../support/common/needs.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { feedOf, reported } from "../support/telemetry/status-report.ts";
import { FIRST_LCUT, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const KEY = "secret-shown-0123456789abcdef";

/** A record is gone 30 s after its relay. */
const GONE_WITHIN_MS = 60_000;

const idsOf = (managed: ManagedRelay) =>
  managed.status().then(({ fleet }) => fleet?.relays.map(({ id }) => id).sort());

/** Two relays that share polls, and one that does not. */
function startRelays(upstream: Upstream, redisPort: number) {
  const env = { REDIS_URL: `redis://127.0.0.1:${redisPort}` };
  const options = { upstream, cache: "redis", env } as const;
  const args = [["--fleet-polling"], ["--fleet-polling"], []];
  return Promise.all(args.map((each) => startManagedRelay({ ...options, args: each })));
}

describeWith("redis-server")("the fleet in /status.json", () => {
  test("has every relay, also one without --fleet-polling, until it stops or dies", async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const relays = await startRelays(upstream, redis.port);
    await using owned = new AsyncDisposableStack();
    for (const each of relays) owned.use(each);
    const [first, second, third] = relays as [ManagedRelay, ManagedRelay, ManagedRelay];
    await ask(first.relay, KEY);
    for (const [at, each] of relays.entries()) {
      const sharesPolls = at < 2;
      const { fleet, relay } = await reported(each, ({ fleet: seen }) => {
        expect(seen).toMatchObject({
          state: "ok",
          reason: null,
          fleet_polling: sharesPolls,
          relays_total: 3,
        });
      });
      expect(fleet?.relays.map(({ this_relay: own }) => own)).toEqual([true, false, false]);
      expect(fleet?.relays[0]).toMatchObject({
        ...{ host: hostname(), version: relay.version, mode: relay.mode, ready: true },
        fleet_polling: sharesPolls,
        started_at: relay.started_at,
      });
    }
    // The relay that polls for all is named, and what it holds is in its record.
    const seen = await reported(
      first,
      (each) => {
        expect(feedOf(each, KEY).claimed_by).toBe(hostname());
        expect(each.fleet?.relays[0]).toMatchObject({ feeds: 1, sdk_keys: 1, newest_lcut: FIRST_LCUT });
      },
      GONE_WITHIN_MS,
    );
    expect(JSON.stringify(seen)).not.toContain(KEY);
    const before = await idsOf(first);
    await third.relay.kill();
    await reported(first, (each) => expect(each.fleet?.relays_total).toBe(2), GONE_WITHIN_MS);
    // One that stops as it should is gone at once.
    const stopped = (await second.status()).fleet?.relays.find(({ this_relay: own }) => own)?.id;
    await second.relay.stop();
    await reported(first, (each) => expect(each.fleet?.relays_total).toBe(1));
    expect(before).toContain(stopped);
  }, 180_000);

  test("is what was last read while Redis is down, and says so", async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    await using managed = await startManagedRelay({ upstream, cache: "redis", env });
    const known = await reported(managed, ({ fleet }) =>
      expect(fleet).toMatchObject({ state: "ok", relays_total: 1 }),
    );
    await redis.kill();
    const unknown = await reported(managed, ({ fleet }) => expect(fleet?.state).toBe("unknown"));
    expect(unknown.fleet).toMatchObject({ relays_total: 1, reason: expect.any(String) });
    expect(Date.parse(unknown.fleet?.read_at ?? "")).toBeLessThan(Date.parse(unknown.now));
    expect(unknown.fleet?.relays[0]?.id).toBe(known.fleet?.relays[0]?.id as string);
    await redis.restart();
    await reported(managed, ({ fleet }) => expect(fleet?.state).toBe("ok"), 30_000);
  }, 60_000);

  test("is unknown without the permissions, and that costs nothing else", async () => {
    const user = {
      name: "relay",
      password: "password-0123456789",
      rules: "-time -hgetall -hlen -hdel",
    };
    await using redis = await RedisServer.start({ user: { name: user.name, password: user.password } });
    await redis.cli("ACL", "SETUSER", user.name, ...user.rules.split(" "));
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const env = { REDIS_URL: `redis://relay:${user.password}@127.0.0.1:${redis.port}` };
    const args = ["--fleet-polling"];
    await using managed = await startManagedRelay({ upstream, cache: "redis", env, args });
    await ask(managed.relay, KEY);
    const report = await reported(managed, (each) => {
      expect(each.redis?.last_write_at).toBeString();
      expect(each.fleet?.reason).toMatch(/permission|NOPERM|ACL|may not|can't run/i);
    });
    expect(report).toMatchObject({ state: "ok", problems: [], fleet: { state: "unknown", relays: [] } });
    expect(managed.relay.output()).not.toContain("permission");
  });

  test("shows no garbage that other software writes there", async () => {
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    await using managed = await startManagedRelay({ upstream, cache: "redis", env });
    await reported(managed, ({ fleet }) => expect(fleet?.relays_total).toBe(1));
    const now = String(Date.now());
    const records = {
      "<script>": `${now} {"host":"a"}`,
      long: `${now} {"host":"${"x".repeat(2_000)}"}`,
      "not-json": `${now} nonsense`,
      "no-time": "{}",
      "odd-1": `${now} {"host":"a\\u0000b","feeds":-3,"streams":"many","newestLcut":1e300}`,
    };
    for (const [field, value] of Object.entries(records))
      await redis.cli("HSET", "statsig_forward_proxy::relays", field, value);
    const { fleet } = await reported(managed, (each) => expect(each.fleet?.relays_total).toBe(2));
    expect(fleet?.relays[1]).toMatchObject({
      id: "odd-1",
      host: "",
      feeds: 0,
      streams: 0,
      newest_lcut: null,
    });
  });
});
