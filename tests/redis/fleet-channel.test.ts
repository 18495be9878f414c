import { afterAll, beforeAll, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/platform/clock.ts";
import { RedisFleetChannel, RedisNotices } from "../../src/redis/fleet.ts";
import { redisFeedId } from "../../src/redis/keys.ts";
import type { RedisOptions } from "../../src/redis/options.ts";
import type { Feed } from "../../src/specs/feed.ts";
import type { Confirmation, Turn } from "../../src/specs/fleet.ts";
import type { PushTurn } from "../../src/specs/push.ts";
import { describeWith } from "../support/common/needs.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { feedOf } from "../support/specs/snapshots.ts";

type Looked = Exclude<Turn, { kind: "confirmed" }> | ({ readonly kind: "confirmed" } & Confirmation);

/** A relay that uses the fleet channel. */
class Looker extends RedisUse {
  readonly channel = new RedisFleetChannel(
    this.connection,
    new RedisNotices(this.connection, systemClock, strictSupervisor()),
    systemClock,
  );

  async look(feed: Feed, { freshForMs = 10_000, claimedForMs = 9_000 } = {}): Promise<Looked> {
    const { turn, last } = await this.channel.look(feed, { freshForMs, claimedForMs });
    if (turn.kind !== "confirmed") return turn;
    if (last === undefined) throw new Error("confirmed without a confirmation");
    return { kind: "confirmed", ...last };
  }
}

/** Redis counts in whole milliseconds, from when it read its clock for a command. */
const CLOCKS_APART_MS = 50;

let count = 0;
/** A feed that no other test uses. */
const newFeed = (): Feed => feedOf(`secret-fleet-${count++}`);

function describeFleetChannel(name: string, options: () => RedisOptions): void {
  test(`${name}: of relays that look at the same time one gets the claim, until it is too old for the relay that looks`, async () => {
    const feed = newFeed();
    await using stack = new AsyncDisposableStack();
    const relays = Array.from({ length: 5 }, () => stack.use(new Looker(options())));
    const seen = await Promise.all(relays.map((relay) => relay.look(feed)));
    expect(seen.map(({ kind }) => kind).toSorted()).toEqual([...Array(4).fill("claimed"), "ours"]);
    await sleep(500);
    const [one, other] = relays;
    if (one === undefined || other === undefined) throw new Error("no relays");
    expect(await one.look(feed)).toMatchObject({ kind: "claimed", ageMs: expect.any(Number) });
    // At the same time, because the new claim is soon too old as well.
    const again = await Promise.all([one, other].map((relay) => relay.look(feed, { claimedForMs: 400 })));
    expect(again.map(({ kind }) => kind).toSorted()).toEqual(["claimed", "ours"]);
  });

  test(`${name}: the reading relay decides how long a confirmation is fresh; the newer version wins, then the younger one`, async () => {
    const feed = newFeed();
    await using relay = new Looker(options());
    const startedAt = performance.now();
    /** The age at the start of the test is at least this, and it has grown since by no more than the time that has passed. */
    const expectAge = (seen: Looked, leastMs: number) => {
      const mostMs = leastMs + performance.now() - startedAt + CLOCKS_APART_MS;
      expect(seen.kind === "confirmed" && seen.ageMs).toBeWithin(leastMs, mostMs);
    };
    await relay.channel.confirm(feed, { lcut: 8, ageMs: 5_000, confirmedAgoMs: 5_000 });
    const first = await relay.look(feed);
    expect(first).toMatchObject({ kind: "confirmed", lcut: 8 });
    expectAge(first, 5_000);
    expect(await relay.look(feed, { freshForMs: 4_000 })).toEqual({ kind: "ours" });
    for (const [confirmation, lcut, least] of [
      [{ lcut: 7, ageMs: 0 }, 8, 5_000],
      [{ lcut: 8, ageMs: 9_000 }, 8, 5_000],
      [{ lcut: 8, ageMs: 1_000 }, 8, 1_000],
      [{ lcut: 9, ageMs: 3_000 }, 9, 3_000],
    ] as const) {
      await relay.channel.confirm(feed, { confirmedAgoMs: undefined, ...confirmation });
      const seen = await relay.look(feed);
      expect(seen).toMatchObject({ kind: "confirmed", lcut });
      expectAge(seen, least);
    }
  });

  test(`${name}: a push claims a feed once, whatever was confirmed or claimed before, and at most once per second`, async () => {
    const feed = newFeed();
    await using stack = new AsyncDisposableStack();
    const [one, other] = [stack.use(new Looker(options())), stack.use(new Looker(options()))];
    await one.channel.confirm(feed, { lcut: 8, ageMs: 1_000, confirmedAgoMs: 1_000 });
    expect(await one.look(feed)).toMatchObject({ kind: "confirmed" });
    await one.channel.holdOff(feed, 60_000);
    const pushedAt = performance.now();
    const turns = await Promise.all(
      [one, other].map(({ channel }) => channel.claimForPush(feed, "a", 9_000)),
    );
    expect(turns.toSorted()).toEqual(["ours", "theirs"]);
    // What was confirmed before the push may be outdated.
    expect(await other.look(feed)).toMatchObject({ kind: "claimed", isRefused: false });
    await one.channel.confirm(feed, { lcut: 8, ageMs: 0, confirmedAgoMs: 0 });
    expect(await other.look(feed)).toMatchObject({ kind: "confirmed", lcut: 8 });
    const next: PushTurn[] = [];
    await eventually(async () => {
      next.push(await other.channel.claimForPush(feed, "b", 9_000));
      expect(next.at(-1)).toBe("ours");
    });
    expect(performance.now() - pushedAt).toBeGreaterThan(1_000 - CLOCKS_APART_MS);
    expect(next.slice(0, -1).filter((turn) => turn !== "too_soon")).toEqual([]);
  });

  test(`${name}: the time of Statsig's confirmation is separate from the time of the request to upstream`, async () => {
    const feed = newFeed();
    await using relay = new Looker(options());
    for (const [ageMs, confirmedAgoMs] of [
      [500, 90_000],
      [400, 100],
      [300, undefined],
    ] as const) {
      await relay.channel.confirm(feed, { lcut: 8, ageMs, confirmedAgoMs });
      const seen = await relay.look(feed);
      if (seen.kind !== "confirmed") throw new Error("not confirmed");
      expect(seen.confirmedAgoMs === undefined ? undefined : seen.confirmedAgoMs - seen.ageMs).toBe(
        confirmedAgoMs === undefined ? undefined : confirmedAgoMs - ageMs,
      );
    }
  });

  test(`${name}: the last confirmation is returned even if it is old, with the turn`, async () => {
    const feed = newFeed();
    await using relay = new Looker(options());
    await relay.channel.confirm(feed, { lcut: 8, ageMs: 50_000, confirmedAgoMs: 70_000 });
    for (const kind of ["ours", "claimed"] as const) {
      const { turn, last } = await relay.channel.look(feed, { freshForMs: 10_000, claimedForMs: 9_000 });
      expect([turn.kind, last?.lcut]).toEqual([kind, 8]);
      expect(last?.ageMs).toBeWithin(50_000, 65_000);
      expect(last?.confirmedAgoMs).toBeWithin(70_000, 85_000);
    }
  });

  test(`${name}: after a Retry-After of upstream, no relay gets the claim before its end, whatever its interval`, async () => {
    const feed = newFeed();
    await using asking = new Looker(options());
    await using other = new Looker(options());
    expect(await asking.look(feed)).toEqual({ kind: "ours" });
    const heldAt = performance.now();
    await asking.channel.holdOff(feed, 500);
    const short = { claimedForMs: 100 };
    await eventually(async () => expect(await other.look(feed, short)).toEqual({ kind: "ours" }));
    expect(performance.now() - heldAt).toBeGreaterThan(500 - CLOCKS_APART_MS);
  });

  test(`${name}: a claim expires soon, because unknown keys cause claims, too`, async () => {
    const feed = newFeed();
    await using relay = new Looker(options());
    await relay.look(feed, { claimedForMs: 100 });
    await sleep(250);
    expect(await relay.look(feed, { claimedForMs: 60_000 })).toEqual({ kind: "ours" });
  });
}

describeWith("redis-server", "redis-cli")("The fleet channel", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  describeFleetChannel("one Redis", () => server.options);

  test.each([
    "abc",
    "-1",
    "",
    "7",
    "7 60000",
    "1.5 - 60000",
    "7 - 60000 1",
    "7 - -1",
    "9007199254740993 - 60000",
    `${Date.now() + 25 * 3_600_000} - 60000`,
  ])('what says "%s" is no confirmation', async (text) => {
    const feed = newFeed();
    const digest = redisFeedId(feed);
    await using relay = new Looker(server.options);
    for (const key of [UNPREFIXED.confirmed(digest), UNPREFIXED.claim(digest)]) {
      await server.cli("SET", key, text, "PX", "60000");
    }
    expect(await relay.look(feed)).not.toMatchObject({ kind: "confirmed" });
    await relay.channel.confirm(feed, { lcut: 5, ageMs: 0, confirmedAgoMs: 0 });
    expect(await relay.look(feed)).toMatchObject({ kind: "confirmed", lcut: 5 });
  });

  test.each([
    ["of another type", ["LPUSH", "KEY", "x"]],
    ["without an end", ["SET", "KEY", "7 - 60000"]],
  ])("a value that is %s is ignored and replaced", async (_, command) => {
    const feed = newFeed();
    const digest = redisFeedId(feed);
    await using relay = new Looker(server.options);
    for (const key of [UNPREFIXED.confirmed(digest), UNPREFIXED.claim(digest)]) {
      await server.cli(...command.map((word) => (word === "KEY" ? key : word)));
    }
    expect(await relay.look(feed)).toEqual({ kind: "ours" });
    await relay.channel.confirm(feed, { lcut: 5, ageMs: 0, confirmedAgoMs: 0 });
    expect(await relay.look(feed)).toMatchObject({ kind: "confirmed", lcut: 5 });
  });

  test("a Redis that hangs or is gone causes an error within the time limit", async () => {
    await using redis = await RedisServer.start();
    await using relay = new Looker({ ...redis.options, commandTimeoutMs: 300 });
    const feed = newFeed();
    // A busy machine may take longer for the first one, which connects.
    await eventually(() => relay.look(feed));
    redis.hang();
    await expect(relay.look(feed)).rejects.toThrow("no reply");
    redis.goOn();
    await redis.kill();
    await eventually(() => expect(relay.look(feed)).rejects.toThrow());
  });
});

describeWith("redis-server", "redis-cli")("The fleet channel on a Cluster", () => {
  const owned = new AsyncDisposableStack();
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = owned.use(await RedisCluster.start());
  }, 30_000);
  afterAll(() => owned.disposeAsync());

  describeFleetChannel("Cluster", () => cluster.options);
});
