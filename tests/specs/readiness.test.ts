import { describe, expect, test } from "bun:test";
import { takeInstant } from "../../src/platform/clock.ts";
import type { Feed } from "../../src/specs/feed.ts";
import { Readiness } from "../../src/specs/readiness.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import { SpecStore } from "../../src/specs/store.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const preload = [feedOf("secret-first-key-0123456789", "v1"), feedOf("secret-first-key-0123456789", "v2")];
const [v1, v2] = preload as [(typeof preload)[0], (typeof preload)[0]];

function held(maxStalenessMs?: number) {
  const clock = new FakeClock();
  const store = new SpecStore({ maxKeys: 10 });
  const readiness = new Readiness({ store, clock, preload, maxStalenessMs });
  const publish = (feed: Feed) => store.publish(snapshotOf(feed, 1), { confirmed: takeInstant(clock) });
  return { clock, store, readiness, publish, reasons: () => readiness.reasons() };
}

const fromBackup = (feed: Feed): Snapshot => ({ ...snapshotOf(feed, 1), source: "redis" });
const [other] = [feedOf("secret-other-key-0123456789", "v1")];

describe("readiness by preloaded keys", () => {
  test("a key that is not cached yet is a reason, which names the masked key", () => {
    const { store, reasons } = held();
    expect(reasons()).toEqual([
      expect.stringMatching(/^1 of 1 preloaded keys have no data yet: secret-fir\*\w{6}$/),
    ]);
    store.publish(snapshotOf(v2, 1));
    expect(reasons()).toEqual([]);
  });

  test("age is not a reason without --max-staleness-in-s", async () => {
    const { clock, store, reasons } = held();
    store.publish(fromBackup(v2));
    await clock.advance(365 * 86_400_000);
    expect(reasons()).toEqual([]);
  });

  test("with it, a feed that upstream has not confirmed for longer is a reason until upstream confirms it", async () => {
    const { clock, store, publish, reasons } = held(60_000);
    publish(v1);
    publish(v2);
    await clock.advance(60_000);
    expect(reasons()).toEqual([]);
    store.confirm(v1, takeInstant(clock));
    await clock.advance(15_000);
    expect(reasons()).toEqual([
      expect.stringMatching(
        /^1 of 2 preloaded feeds not confirmed by upstream for 60 s: secret-fir\*\w{6} v2\/json \(75 s ago\)$/,
      ),
    ]);
    store.confirm(v2, takeInstant(clock));
    expect(reasons()).toEqual([]);
  });

  test("with it, a feed from a backup is a reason from the start", () => {
    const { store, publish, reasons } = held(60_000);
    publish(v1);
    store.publish(fromBackup(v2));
    expect(reasons()).toEqual([expect.stringMatching(/ v2\/json \(never\)$/)]);
  });

  test("a key that was cached once is not waited for again", () => {
    const { store, reasons } = held(60_000);
    store.publish(fromBackup(v1));
    store.remove(v1, "unauthorized");
    expect(reasons()).toEqual([]);
  });

  test("a revoked key that is still served does not make the relay stale: no other relay could do better", async () => {
    const { clock, store, publish, reasons } = held(60_000);
    publish(v1);
    store.peek(v1)?.revoke(clock);
    await clock.advance(61_000);
    expect(reasons()).toEqual([]);
    store.confirm(v1, undefined);
    expect(reasons()).toEqual([expect.stringContaining("(61 s ago)")]);
  });

  describe("with many keys", () => {
    const keys = Array.from({ length: 4 }, (_, at) => feedOf(`secret-${at}-of-many-0123456789`));

    async function stale(count: number, { revoked = 0 } = {}) {
      const clock = new FakeClock();
      const store = new SpecStore({ maxKeys: 10 });
      const readiness = new Readiness({ store, clock, preload: keys, maxStalenessMs: 60_000 });
      for (const feed of keys) store.publish(snapshotOf(feed, 1), { confirmed: takeInstant(clock) });
      await clock.advance(61_000);
      for (const feed of keys.slice(count)) store.confirm(feed, takeInstant(clock));
      for (const feed of keys.slice(0, revoked)) store.peek(feed)?.revoke(clock);
      return readiness.reasons().length > 0;
    }

    test.each([
      [1, 0, false],
      [2, 0, false],
      [3, 0, true],
      [4, 0, true],
    ])("%d of 4 that are stale: not ready is %#", async (count, revoked, expected) => {
      expect(await stale(count, { revoked })).toBe(expected);
    });

    test("revoked keys are not a reason unless all are: then upstream may be rejecting this relay", async () => {
      expect(await stale(3, { revoked: 2 })).toBe(false);
      expect(await stale(4, { revoked: 4 })).toBe(true);
    });
  });

  test("a key that a reload adds is only waited for during the start", () => {
    const { readiness, publish, store, reasons } = held();
    const missing = () =>
      reasons()
        .join()
        .match(/secret-\w+/g) ?? [];
    const follow = (feeds: readonly Feed[]) =>
      readiness.reconfigure({ preload: feeds, maxStalenessMs: undefined });
    follow([...preload, other]);
    expect(missing()).toEqual(["secret-fir", "secret-oth"]);
    publish(v1);
    store.remove(v1, "evicted");
    follow([v1, other]);
    expect(missing()).toEqual(["secret-oth"]);
    follow([v1]);
    expect(missing()).toEqual([]);
    follow([v1, other]);
    expect(missing()).toEqual([]);
  });

  test("a key that is not allowed is not waited for, not even if it is allowed after the start", () => {
    const allowed = new Set([v1.sdkKey]);
    const store = new SpecStore({ maxKeys: 10, allows: (sdkKey) => allowed.has(sdkKey) });
    const plan = { preload: [v1, other], maxStalenessMs: undefined };
    const readiness = new Readiness({ store, clock: new FakeClock(), ...plan });
    expect(readiness.reasons()).toHaveLength(1);
    store.publish(snapshotOf(v1, 1));
    allowed.add(other.sdkKey);
    expect(readiness.reasons()).toEqual([]);
  });

  test.each([-1, 1])("a wall clock that jumps by %d days changes nothing", async (days) => {
    const { clock, store, publish, reasons } = held(60_000);
    publish(v1);
    await clock.advance(50_000);
    clock.jump(days * 86_400_000);
    expect([reasons(), store.peek(v1)?.confirmedAgoMs(clock)]).toEqual([[], 50_000]);
    await clock.advance(11_000);
    expect(reasons()).toEqual([expect.stringContaining("(61 s ago)")]);
    store.confirm(v1, takeInstant(clock));
    expect([reasons(), store.peek(v1)?.confirmedAt]).toEqual([[], clock.now()]);
  });

  test("names at most five feeds", () => {
    const { clock, store } = held();
    const many = Array.from({ length: 7 }, (_, i) => feedOf(`secret-many-${i}-0123456789`));
    for (const feed of many) store.publish({ ...snapshotOf(feed, 1), source: "local" });
    const [reason = ""] = new Readiness({ store, clock, preload: many, maxStalenessMs: 1_000 }).reasons();
    expect(reason).toStartWith("7 of 7 preloaded feeds ");
    expect(reason.split("(never)")).toHaveLength(6);
    expect(reason).toEndWith(", ...");
  });
});

describe("--max-staleness-in-s of a relay", () => {
  const stale = "2 of 2 preloaded feeds not confirmed by upstream for 2 s: secret-sta*";

  test("makes every probe fail while upstream is down, and pass when it is back; specs are still served", async () => {
    await using upstream = await startUpstream();
    const { sdkKey, lcut } = publishKey(upstream, "secret-stale-0123456789");
    const port = String(await freePort());
    const args = ["--preload-sdk-keys", sdkKey, "--max-staleness-in-s", "2", "--management-port", port];
    await using relay = await startRelayProcess({ upstream, args });
    using client = new GrpcClient(relay.grpcUrl);
    const get = async (url: string) => {
      const { status, body } = await rawGet(url);
      return { status, ...JSON.parse(body.toString()) };
    };
    const readyz = () => get(`${relay.urlOf("management")}/readyz`);
    const ready = () => get(`${relay.httpUrl}/v1/ready`);
    // At the same time: a relay that stands still for a second is not ready for a moment.
    const isReady = async () => {
      const probed = [await readyz(), (await ready()).status, await client.checkHealth()];
      expect(probed).toEqual([{ status: "ready" }, 200, "SERVING"]);
    };
    await eventually(isReady);

    await upstream.stop();
    await eventually(
      async () => {
        const answer = await readyz();
        expect(answer).toEqual({ status: "not ready", reasons: [expect.stringContaining(stale)] });
      },
      { withinMs: 20_000 },
    );
    expect(await ready()).toEqual({ status: 503, code: 503, reason: expect.stringContaining(stale) });
    expect(await client.checkHealth()).toBe("NOT_SERVING");
    const served = await rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);
    expect([served.status, served.headers["x-since-time"]]).toEqual([200, String(lcut)]);

    await upstream.restart();
    await eventually(isReady, { withinMs: 20_000 });
    expect(relay.output()).not.toContain(sdkKey);
  }, 90_000);

  test("must be longer than the polling interval", async () => {
    const args = ["--max-staleness-in-s", "10", "-p", "10", "http", "disabled"];
    const { exitCode, stderr } = await runRelay(args);
    expect([exitCode, stderr]).toEqual([
      2,
      'error: invalid value "10" for --max-staleness-in-s (expected 0, or more than --polling-interval-in-s, which is 10)\n',
    ]);
  });
});
