import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { RedisFleetChannel, RedisNotices } from "../../src/redis/fleet.ts";
import type { RedisOptions } from "../../src/redis/options.ts";
import { RedisPresence } from "../../src/redis/presence.ts";
import { feedId } from "../../src/specs/feed.ts";
import { describeWith } from "../support/common/needs.ts";
import { strictSupervisor } from "../support/common/supervisors.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { feedOf } from "../support/specs/snapshots.ts";

const RECORD = {
  ...{ host: "relay-a", version: "0.1.0", startedAt: 1_700_000_000_000, mode: "http", isReady: true },
  ...{ sdkKeys: 2, feeds: 4, streams: 7, newestLcut: 1_700_000_000_001, fleetPolling: true },
};

const ofRedis = (name: string, options: () => RedisOptions) => {
  describe(`The presence of relays in Redis, ${name}`, () => {
    const presenceOf = (use: RedisUse, id: string) =>
      new RedisPresence({ redis: use.connection, id, clock: systemClock, supervisor: strictSupervisor() });

    test("a relay is seen by the others with what it says, until it stops", async () => {
      await using use = new RedisUse(options());
      await using first = presenceOf(use, "first");
      {
        await using second = presenceOf(use, "second");
        first.show(() => RECORD);
        second.show(() => ({ ...RECORD, host: "relay-b", streams: 0 }));
        await eventually(async () => {
          const seen = (await first.list()).toSorted((a, b) => a.id.localeCompare(b.id));
          expect(seen).toMatchObject([
            { ...RECORD, id: "first" },
            { ...RECORD, id: "second", host: "relay-b", streams: 0 },
          ]);
        });
      }
      expect((await first.list()).map(({ id }) => id)).toEqual(["first"]);
    });

    test("relays with another key prefix are another fleet", async () => {
      await using use = new RedisUse(options());
      await using other = new RedisUse({ ...options(), keyPrefix: "{other}:" });
      await using own = presenceOf(use, "own");
      await using theirs = presenceOf(other, "theirs");
      own.show(() => RECORD);
      theirs.show(() => RECORD);
      await eventually(async () => expect((await theirs.list()).map(({ id }) => id)).toEqual(["theirs"]));
    });

    test("names the relay that claimed a feed", async () => {
      await using use = new RedisUse(options());
      const notices = new RedisNotices(use.connection, systemClock, strictSupervisor());
      const channel = new RedisFleetChannel(use.connection, notices, systemClock, "claims-it");
      const [claimed, free] = [feedOf("secret-claimed"), feedOf("secret-free")];
      await eventually(() => channel.look(claimed, { freshForMs: 1_000, claimedForMs: 30_000 }));
      await using presence = presenceOf(use, "reader");
      expect([...(await presence.claimants([claimed, free]))]).toEqual([[feedId(claimed), "claims-it"]]);
    });
  });
};

describeWith("redis-server", "redis-cli")("On a real Redis", () => {
  const owned = new AsyncDisposableStack();
  let cluster: RedisCluster;
  let server: RedisServer;
  beforeAll(async () => {
    server = owned.use(await RedisServer.start());
    cluster = owned.use(await RedisCluster.start());
  }, 30_000);
  afterAll(() => owned.disposeAsync());

  ofRedis("a single one", () => server.options);
  ofRedis("a Cluster", () => cluster.options);
});
