import { describe, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fleet, type Seen } from "../../src/specs/fleet.ts";
import { SpecRecovery } from "../../src/specs/recovery.ts";
import { SpecStore } from "../../src/specs/store.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { describeWith } from "../support/common/needs.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { MemoryBackup } from "../support/specs/memory-backup.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

async function originOf(relay: RelayProcess, sdkKey: string) {
  const { headers } = await rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);
  const confirmedAt = headers["x-sfp-confirmed-at"];
  return {
    lcut: headers["x-since-time"],
    source: headers["x-sfp-source"],
    confirmedAt: confirmedAt === undefined ? undefined : Date.parse(String(confirmedAt)),
  };
}

/** Checks a version from a backup while upstream is down, and after it is back. */
async function recoversFrom(source: "redis" | "local", options: RelayOptions): Promise<void> {
  await using upstream = await startUpstream();
  const first = publishKey(upstream, `secret-origin-${source}`);
  const { sdkKey } = first;
  {
    await using relay = await startRelayProcess({ ...options, upstream });
    expect(await originOf(relay, sdkKey)).toMatchObject({ source: "upstream" });
    await relay.stop();
  }
  await upstream.stop();
  await using relay = await startRelayProcess({ ...options, upstream });
  const recovered = { lcut: String(first.lcut), source, confirmedAt: undefined };
  expect(await originOf(relay, sdkKey)).toEqual(recovered);

  const backAt = Date.now();
  await upstream.restart();
  const { confirmedAt } = await eventually(
    async () => {
      const origin = await originOf(relay, sdkKey);
      expect(origin).toEqual({ ...recovered, confirmedAt: expect.any(Number) });
      return origin;
    },
    { withinMs: 20_000 },
  );
  expect(confirmedAt).toBeWithin(backAt, Date.now() + 1);

  const second = publishKey(upstream, sdkKey, 1);
  await eventually(async () =>
    expect(await originOf(relay, sdkKey)).toMatchObject({ lcut: String(second.lcut), source: "upstream" }),
  );
}

describe("a version from a backup is marked as such, and is not confirmed until upstream confirms it", () => {
  test("local", async () => {
    const path = mkdtempSync(join(tmpdir(), "sfp-origin-"));
    await recoversFrom("local", { cache: "local", args: ["--local-cache-path", path] });
  }, 60_000);

  describeWith("redis-server")("with redis-server", () => {
    test("redis", async () => {
      await using redis = await RedisServer.start();
      const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
      await recoversFrom("redis", { cache: "redis", args: ["-r", "1"], env });
    }, 60_000);
  });
});

describeWith("redis-server")("in a fleet, a relay that does not ask upstream", () => {
  test("reports the confirmation of the relay that asks, also if their intervals differ", async () => {
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-origin-fleet");
    await using redis = await RedisServer.start();
    const start = (pollIntervalS: number) =>
      startRelayProcess({
        upstream,
        cache: "redis",
        mode: "http",
        pollIntervalS,
        args: ["--fleet-polling", "-r", "30"],
        env: { REDIS_URL: `redis://127.0.0.1:${redis.port}` },
      });
    await using leader = await start(1);
    await originOf(leader, sdkKey);
    await using follower = await start(3);
    await originOf(follower, sdkKey);
    const newer = publishKey(upstream, sdkKey, 1);
    const expected = { lcut: String(newer.lcut), source: "redis", confirmedAt: expect.any(Number) };
    const first = await eventually(
      async () => {
        const origin = await originOf(follower, sdkKey);
        expect(origin).toEqual(expected);
        return origin;
      },
      { withinMs: 20_000 },
    );

    // It moves on with the confirmations of the leader, which has the same clock here. A follower must not look fresher than it is,
    // except for the delay of Redis on a busy machine, and not staler than the time of one look: 3 s, and one poll of the leader.
    const aheadMs: number[] = [];
    const watch = async () => {
      const ours = await originOf(follower, sdkKey);
      const theirs = await originOf(leader, sdkKey);
      aheadMs.push(Number(ours.confirmedAt) - Number(theirs.confirmedAt));
      expect(Number(ours.confirmedAt) - Number(first.confirmedAt)).toBeGreaterThan(3_000);
    };
    await eventually(watch, { withinMs: 30_000, everyMs: 100 });
    const middle = aheadMs.toSorted((a, b) => a - b)[Math.floor(aheadMs.length / 2)];
    expect(middle).toBeWithin(-4_500, 500);
    expect(Math.max(...aheadMs)).toBeWithin(-2_000, 2_000);
  }, 60_000);
});

describe("the time of a confirmation", () => {
  test("is a duration: another relay's clock and waiting time do not matter", async () => {
    const feed = feedOf("secret-origin-clocks");
    // A clock that is ten years ahead.
    const clock = new FakeClock(2_100_000_000_000);
    const store = new SpecStore({ maxKeys: 10 });
    store.publish({ ...snapshotOf(feed, 7), source: "redis" });
    let known: Seen = {
      turn: { kind: "confirmed" },
      last: { lcut: 7, ageMs: 46_000, confirmedAgoMs: 46_000 },
    };
    const preparer = {
      prepare: () => expect.unreachable("nothing to prepare"),
      [Symbol.asyncDispose]: async () => {},
    };
    const recovery = new SpecRecovery({
      backup: new MemoryBackup(),
      preparer,
      store,
      clock,
      emit: () => {},
      emitBackup: () => {},
    });
    const fleet = new Fleet({
      supervisor: strictSupervisor(clock),
      channel: {
        look: async () => known,
        confirm: async () => {},
        refuse: async () => {},
        holdOff: async () => {},
        announce: async () => {},
        onAnnounced: () => {},
        toTopic: () => "topic",
      },
      store,
      recovery,
      clock,
      intervalMs: 60_000,
      emit: () => {},
      clearOnUnauthorized: false,
      signal: new AbortController().signal,
    });
    expect(await fleet.poll(feed, store.peek(feed))).toMatchObject({
      kind: "followed",
      againMs: expect.any(Number),
    });
    expect(store.peek(feed)?.confirmedAt).toBe(clock.now() - 46_000);
    known = { turn: { kind: "ours" }, last: { lcut: 7, ageMs: 50_000, confirmedAgoMs: 60_000 } };
    await fleet.poll(feed, store.peek(feed));
    expect(store.peek(feed)?.confirmedAt).toBe(clock.now() - 46_000);
  });
});
