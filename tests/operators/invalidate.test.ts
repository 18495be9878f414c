import { describe, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { OPERATED, order } from "../support/relay/operator-requests.ts";
import { masked } from "../support/telemetry/status-report.ts";
import { publishKey, versionOf } from "../support/upstream/published-key.ts";
import { body, startUpstream, status, type Upstream } from "../support/upstream/upstream.ts";

const KEYS = ["secret-pushed-0123456789", "secret-other-0123456789"] as const;
const [KEY, OTHER] = KEYS;

/** Long enough that no feed is due for a poll while a test runs. */
const NEVER_S = 600;

const PATH = "/v1/invalidate";
const SPECS = /download_config_specs/;
const pushTo = (managed: ManagedRelay, body?: object | string) => order(managed, PATH, body);

async function lcutOf({ relay }: ManagedRelay, sdkKey: string, version: "v1" | "v2" = "v2"): Promise<number> {
  const response = await fetch(`${relay.httpUrl}/${version}/download_config_specs/${sdkKey}.json`);
  await response.arrayBuffer();
  return Number(response.headers.get("x-since-time"));
}

async function serves(managed: ManagedRelay, sdkKey: string, number: number): Promise<void> {
  expect(await lcutOf(managed, sdkKey)).toBe(versionOf(sdkKey, number).lcut);
}

interface Operated {
  readonly redis?: RedisServer;
  readonly args?: readonly string[];
}

/** A relay without polls that holds v2 of every key. */
async function startOperated(upstream: Upstream, { redis, args = [] }: Operated = {}): Promise<ManagedRelay> {
  const managed = await startManagedRelay({
    upstream,
    mode: "http",
    pollIntervalS: NEVER_S,
    cache: redis === undefined ? "disabled" : "redis",
    args: redis === undefined ? args : ["-r", "3600", ...args],
    env: { ...OPERATED, ...(redis && { REDIS_URL: `redis://127.0.0.1:${redis.port}` }) },
  });
  for (const key of KEYS) expect(await lcutOf(managed, key)).toBe(versionOf(key).lcut);
  return managed;
}

describe("POST /v1/invalidate", () => {
  test("polls one key now, whole or masked, and says what came of it and that this relay is alone", async () => {
    await using upstream = await startUpstream();
    for (const key of KEYS) publishKey(upstream, key);
    await using managed = await startOperated(upstream);
    await lcutOf(managed, KEY, "v1");
    upstream.forgetRequests();
    const counts = { polled: 2, updated: 0, unchanged: 2, failed: 0, pending: 0, skipped: 0, id_lists: 0 };
    const first = await pushTo(managed, `key=${KEY}`);
    expect(first).toMatchObject({ status: 200, body: { ...counts, fleet: false, note: expect.any(String) } });
    expect(upstream.count(SPECS)).toBe(2);

    for (const key of KEYS) publishKey(upstream, key, 1);
    const again = await eventually(async () => {
      const response = await pushTo(managed, { key: masked(KEY) });
      expect(response.status).toBe(200);
      return response;
    });
    expect(again.body).toMatchObject({ ...counts, updated: 2, unchanged: 0 });
    await serves(managed, KEY, 1);
    expect(await lcutOf(managed, OTHER)).toBe(versionOf(OTHER).lcut);
    const audit = "operator action action=invalidate";
    await eventually(() => expect(managed.relay.output()).toContain(`${audit} sdk_key=${masked(KEY)}`));
    expect(managed.relay.output()).not.toContain(KEY);
  }, 30_000);

  test("without a body polls all keys, and their ID lists", async () => {
    await using upstream = await startUpstream();
    for (const key of KEYS) publishKey(upstream, key);
    await using managed = await startOperated(upstream);
    const headers = { "statsig-api-key": KEY };
    await fetch(`${managed.relay.httpUrl}/v1/get_id_lists`, { method: "POST", headers, body: "{}" });
    for (const key of KEYS) publishKey(upstream, key, 1);
    upstream.forgetRequests();
    expect((await pushTo(managed)).body).toMatchObject({ polled: 2, updated: 2, id_lists: 1 });
    for (const key of KEYS) await serves(managed, key, 1);
    expect([upstream.count(SPECS), upstream.count(/get_id_lists/)]).toEqual([2, 1]);
    await eventually(() => expect(managed.relay.output()).toContain("action=invalidate sdk_key=all"));
  }, 30_000);

  test("is limited to one push of a key per second, whatever the order of keys and all", async () => {
    await using upstream = await startUpstream();
    for (const key of KEYS) publishKey(upstream, key);
    await using managed = await startOperated(upstream);
    upstream.forgetRequests();
    const began = performance.now();
    const orders = Array.from({ length: 60 }, (_, at) => (at % 3 === 0 ? undefined : { key: KEYS[at % 2] }));
    const responses = await Promise.all(orders.map((each) => pushTo(managed, each)));
    const seconds = Math.ceil((performance.now() - began) / 1_000);
    const limited = responses.filter((response) => response.status === 429);
    expect(limited.length).toBeGreaterThanOrEqual(60 - 2 * seconds);
    for (const response of limited)
      expect([response.headers.get("retry-after"), response.body["message"]]).toEqual([
        "1",
        expect.stringContaining("try again"),
      ]);
    expect(upstream.count(SPECS)).toBeLessThanOrEqual(KEYS.length * seconds);
    await eventually(async () => expect((await pushTo(managed)).status).toBe(200), { everyMs: 200 });
  }, 30_000);

  test.each([
    [404, "holds nothing of this SDK key", { key: "secret-of-another-project" }],
    [404, "holds nothing of this SDK key", { key: "secret-pus*000000" }],
    [400, "The body is not valid", { kye: KEY }],
    [400, "The body is not valid", { key: KEY, all: true }],
    [400, "The body is not valid", { key: "" }],
    [400, "The body is not valid", "key="],
    [400, "The body is not valid", `key=${KEY}&all=true`],
    [400, "The body is not valid", [KEY]],
    [400, "The body is not valid", KEY],
  ] as const)(
    "responds %d (%s) to %j, and asks upstream for nothing",
    async (code, message, given) => {
      await using upstream = await startUpstream();
      for (const key of KEYS) publishKey(upstream, key);
      await using managed = await startOperated(upstream);
      upstream.forgetRequests();
      const response = await pushTo(managed, given);
      expect(response.status).toBe(code);
      expect(response.body["message"]).toContain(message);
      expect(upstream.requests).toEqual([]);
    },
    30_000,
  );

  test("names what failed, and the last version is served", async () => {
    await using upstream = await startUpstream();
    for (const key of KEYS) publishKey(upstream, key);
    await using managed = await startOperated(upstream);
    upstream.misbehave(status(500));
    const result = { polled: 2, failed: 2, errors: ["status: upstream answered 500"] };
    expect(await pushTo(managed)).toMatchObject({ status: 200, body: result });
    expect(await lcutOf(managed, KEY)).toBe(versionOf(KEY).lcut);
  }, 30_000);

  test("asks again if a request is in flight already, which upstream may have answered before the change", async () => {
    await using upstream = await startUpstream();
    for (const key of KEYS) publishKey(upstream, key);
    await using managed = await startOperated(upstream);
    const release = Promise.withResolvers<void>();
    const unchanged = body('{"has_updates":false}');
    upstream.misbehave(unchanged, { times: 1, until: release.promise });
    upstream.forgetRequests();
    const earlier = pushTo(managed, { key: KEY });
    await eventually(() => expect(upstream.count(SPECS)).toBe(1));
    publishKey(upstream, KEY, 1);
    // As soon as another push is allowed, it waits as well: a request after it has its response first.
    const waiting = await eventually(
      async () => {
        const pushed = pushTo(managed, { key: KEY });
        const control = pushTo(managed, { key: "secret-of-another-project" }).then(() => sleep(200));
        expect(await Promise.race([pushed, control])).toBeUndefined();
        return [pushed];
      },
      { everyMs: 100 },
    );
    release.resolve();
    expect((await earlier).body).toMatchObject({ unchanged: 1 });
    expect((await waiting[0])?.body).toMatchObject({ updated: 1 });
    await serves(managed, KEY, 1);
  }, 30_000);

  test("responds 202 if upstream takes longer than 10 s, and the poll goes on", async () => {
    await using upstream = await startUpstream();
    for (const key of KEYS) publishKey(upstream, key);
    await using managed = await startOperated(upstream, { args: ["--http-read-timeout-in-s", "60"] });
    for (const key of KEYS) publishKey(upstream, key, 1);
    const release = Promise.withResolvers<void>();
    upstream.misbehave({ kind: "none" }, { until: release.promise });
    const response = await pushTo(managed, { key: KEY });
    expect(response).toMatchObject({ status: 202, body: { polled: 1, updated: 0, pending: 1 } });
    release.resolve();
    await eventually(() => serves(managed, KEY, 1));
  }, 60_000);
});

describeWith("redis-server")("in a fleet of three relays", () => {
  const FLEET = ["--fleet-polling"];

  test("one push brings the new version to all of them, with one request for each feed", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    for (const key of KEYS) publishKey(upstream, key);
    await using stack = new AsyncDisposableStack();
    const start = async () => stack.use(await startOperated(upstream, { redis, args: FLEET }));
    const relays = [await start(), await start(), await start()] as const;
    const [first, second, third] = relays;
    // A feed that the relay that is asked does not hold.
    for (const relay of [second, third]) await lcutOf(relay, KEY, "v1");

    for (let number = 1; number <= 3; number++) {
      upstream.forgetRequests();
      for (const key of KEYS) publishKey(upstream, key, number);
      const pushed = await eventually(async () => {
        const response = await pushTo(first);
        expect(response.status).toBe(200);
        return response;
      });
      expect(pushed.body).toMatchObject({ polled: 2, updated: 2, failed: 0, fleet: true });
      await eventually(async () => {
        for (const relay of relays)
          for (const key of KEYS) expect(await lcutOf(relay, key)).toBe(versionOf(key, number).lcut);
        for (const relay of [second, third])
          expect(await lcutOf(relay, KEY, "v1")).toBe(versionOf(KEY, number).lcut);
      });
      // v2 of both keys, and v1 of one, which another relay asks for.
      const paths = upstream.requests.map(({ path }) => path).filter((path) => SPECS.test(path));
      expect(paths.toSorted()).toEqual(
        [
          `/v1/download_config_specs/${KEY}.json`,
          ...KEYS.map((key) => `/v2/download_config_specs/${key}.json`),
        ].toSorted(),
      );
    }
  }, 60_000);

  test("pushes through several relays at once ask upstream once per feed and second", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    for (const key of KEYS) publishKey(upstream, key);
    await using stack = new AsyncDisposableStack();
    const start = async () => stack.use(await startOperated(upstream, { redis, args: FLEET }));
    const relays = [await start(), await start(), await start()];
    upstream.forgetRequests();
    const began = performance.now();
    await Promise.all(relays.map((relay) => pushTo(relay, { key: KEY })));
    const seconds = Math.ceil((performance.now() - began) / 1_000);
    expect(upstream.count(SPECS)).toBeWithin(1, seconds + 1);
  }, 60_000);

  test("if Redis is down, the relay polls by itself and says so", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    for (const key of KEYS) publishKey(upstream, key);
    await using managed = await startOperated(upstream, { redis, args: FLEET });
    await redis.kill();
    for (const key of KEYS) publishKey(upstream, key, 1);
    const result = { polled: 2, updated: 2, fleet: false };
    expect(await pushTo(managed)).toMatchObject({ status: 200, body: result });
    await serves(managed, KEY, 1);
  }, 60_000);

  test("without --fleet-polling it reaches one relay alone", async () => {
    await using upstream = await startUpstream();
    await using redis = await RedisServer.start();
    for (const key of KEYS) publishKey(upstream, key);
    await using first = await startOperated(upstream, { redis });
    await using second = await startOperated(upstream, { redis });
    for (const key of KEYS) publishKey(upstream, key, 1);
    expect((await pushTo(first)).body).toMatchObject({ updated: 2, fleet: false });
    await serves(first, KEY, 1);
    expect(await lcutOf(second, KEY)).toBe(versionOf(KEY).lcut);
  }, 60_000);
});
