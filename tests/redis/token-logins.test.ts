import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/platform/clock.ts";
import { Supervisor } from "../../src/platform/supervisor.ts";
import { TokenLogins } from "../../src/redis/auth/token-logins.ts";
import type { RedisEvent } from "../../src/redis/events.ts";
import { RedisNotices } from "../../src/redis/fleet.ts";
import { DEFAULT_REDIS_OPTIONS, type EntraOptions, type RedisOptions } from "../../src/redis/options.ts";
import { OTHER_ROWS } from "../drop-in/redis-auth.rows.ts";
import { failureOf } from "../support/common/failure.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually, within } from "../support/common/wait.ts";
import { testRows } from "../support/drop-in/row.ts";
import { LoginTap } from "../support/redis/login-tap.ts";
import { RedisCluster } from "../support/redis/redis-cluster.ts";
import { RedisSentinels } from "../support/redis/redis-sentinels.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { RedisUse } from "../support/redis/redis-uses.ts";
import { TokenAuthority } from "../support/redis/token-authority.ts";

const MINUTE = 60_000;

/** Token logins on a clock of their own. */
class Renewal implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly events: RedisEvent[] = [];
  readonly authority = new TokenAuthority();
  readonly logins: TokenLogins;

  constructor(prepare: (authority: TokenAuthority) => void = () => {}, more: Partial<EntraOptions> = {}) {
    prepare(this.authority);
    const { clock } = this;
    this.logins = new TokenLogins({
      entra: { ...this.authority.entra, ...more },
      clock,
      supervisor: new Supervisor({ clock, emit: (event) => this.events.push(event as never) }),
      emit: (event) => this.events.push(event),
    });
  }

  /** Resolves when the authority got this many requests in total, and the last one is settled. */
  async requested(count: number): Promise<void> {
    await eventually(() => expect(this.events).toHaveLength(count));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.logins[Symbol.asyncDispose]();
    await this.authority[Symbol.asyncDispose]();
  }
}

describe("An access token for Redis", () => {
  test.each<[string, number, number | undefined, number]>([
    ["after three quarters of its life", 3_600, undefined, 45 * MINUTE],
    ["a minute before its end if its life is short", 120, undefined, MINUTE],
    ["at the configured margin before its end", 3_600, 10 * MINUTE, 50 * MINUTE],
    ["at the longest margin", 3_600, 3_570_000, 30_000],
    ["after three quarters if the margin is too long", 3_600, 3_571_000, 45 * MINUTE],
  ])("is renewed %s", async (_, lifeS, refreshMarginMs, renewInMs) => {
    const margin = refreshMarginMs === undefined ? {} : { refreshMarginMs };
    await using renewal = new Renewal((authority) => (authority.answer = { kind: "token", lifeS }), margin);
    await renewal.requested(1);
    const isIgnored = refreshMarginMs === 3_571_000;
    expect(renewal.events[0]).toEqual({
      kind: "redis_token_renewed",
      lifeMs: lifeS * 1_000,
      renewInMs,
      ...(isIgnored && { ignoredMarginMs: refreshMarginMs }),
    });
    await renewal.clock.advance(renewInMs - 1);
    expect(renewal.authority.requests).toHaveLength(1);
    await renewal.clock.advance(1);
    await renewal.requested(2);
    expect(renewal.logins.current).toEqual({ password: renewal.authority.tokens[1] ?? "" });
  });

  test("belongs to the configured user", async () => {
    await using renewal = new Renewal(() => {}, { user: "object-id" });
    await renewal.requested(1);
    expect(renewal.logins.current).toEqual({
      user: "object-id",
      password: renewal.authority.tokens[0] ?? "",
    });
  });

  test("stays in use while the authority fails, which is asked again after 1 to 60 s", async () => {
    await using renewal = new Renewal();
    const { authority, clock, logins } = renewal;
    await renewal.requested(1);
    authority.answer = { kind: "answer", status: 503, body: "" };
    await clock.advance(45 * MINUTE);
    await renewal.requested(2);
    const waits: number[] = [];
    for (let failures = 3; failures < 12; failures++) {
      waits.push(clock.nextWakeInMs ?? 0);
      await clock.advance(waits.at(-1) ?? 0);
      await renewal.requested(failures);
    }
    for (const [at, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual(Math.min(60_000, 2_000 * 2 ** at) / 2);
      expect(wait).toBeLessThanOrEqual(60_000);
    }
    expect(logins.current?.password).toBe(authority.tokens[0] ?? "");
    authority.answer = { kind: "token", lifeS: 3_600 };
    await clock.advance(clock.nextWakeInMs ?? 0);
    await renewal.requested(12);
    expect(logins.current?.password).toBe(authority.tokens[1] ?? "");
  });
});

/** Redis whose user `relay` has the tokens as passwords: the last two, as while one replaces the other. */
function acceptTokens(servers: readonly RedisServer[]): (authority: TokenAuthority) => void {
  return (authority) => {
    authority.onToken = async (token) => {
      const passwords = [authority.tokens.at(-2), token].flatMap((each) =>
        each === undefined ? [] : [`>${each}`],
      );
      const user = ["on", "resetpass", ...passwords, "~*", "&*", "+@all"];
      for (const server of servers) await server.cli("ACL", "SETUSER", "relay", ...user);
    };
  };
}

/** Renews the token, and resolves when `use` works with the new one alone. */
async function rotate(renewal: Renewal, servers: readonly RedisServer[]): Promise<string> {
  const before = renewal.events.length;
  await renewal.clock.advance(45 * MINUTE);
  await renewal.requested(before + 1);
  const token = renewal.authority.tokens.at(-1) ?? "";
  for (const server of servers) await server.cli("ACL", "SETUSER", "relay", "resetpass", `>${token}`);
  return token;
}

const user = "relay";

describeWith("redis-server", "redis-cli")("Connections with access tokens", () => {
  testRows([OTHER_ROWS.renewed], async () => {
    await using server = await RedisServer.start();
    await using tap = await LoginTap.start(server.port);
    await using renewal = new Renewal(acceptTokens([server]), { user });
    const options: RedisOptions = {
      ...server.options,
      address: { kind: "single", host: "127.0.0.1", port: tap.port, db: 0 },
      pool: { min: 3, max: 3 },
    };
    await using use = new RedisUse(options, renewal.logins);
    await use.connection.bulk.exclusively(async (redis) => expect(await redis.send("PING", [])).toBe("PONG"));
    for (let rotations = 0; rotations < 3; rotations++) {
      const token = await rotate(renewal, [server]);
      await eventually(() => expect(tap.passwords).toEqual(Array(5).fill(token)));
      expect(tap.closeOthers(token)).toBe(0);
      for (const commands of [use.connection, use.connection.bulk])
        expect(await commands.send("PING", [])).toBe("PONG");
      await use.connection.bulk.exclusively(async (redis) =>
        expect(await redis.send("PING", [])).toBe("PONG"),
      );
    }
    expect(use.events).toEqual([]);
  });

  test("do not log in within a transaction", async () => {
    await using server = await RedisServer.start();
    await using renewal = new Renewal(acceptTokens([server]), { user });
    await using use = new RedisUse(server.options, renewal.logins);
    const replies = await use.connection.bulk.exclusively(async (redis) => {
      await redis.send("MULTI", []);
      await redis.send("SET", ["a", "1"]);
      await rotate(renewal, [server]);
      return redis.send("EXEC", []);
    });
    expect(replies).toEqual(["OK"]);
    await use.connection.bulk.exclusively(async (redis) => expect(await redis.send("GET", ["a"])).toBe("1"));
  });

  test("that Redis closes log in with the newest token", async () => {
    await using server = await RedisServer.start();
    await using renewal = new Renewal(acceptTokens([server]), { user });
    await using use = new RedisUse(server.options, renewal.logins);
    await use.connection.send("PING", []);
    await rotate(renewal, [server]);
    await server.cli("CLIENT", "KILL", "USER", "relay");
    await use.untilEmitted("redis_up");
    expect(await use.connection.send("ACL", ["WHOAMI"])).toBe("relay");
  });

  test("wait for the first token, and connect as soon as there is one", async () => {
    await using server = await RedisServer.start();
    const failing = (authority: TokenAuthority) => {
      acceptTokens([server])(authority);
      authority.answer = { kind: "answer", status: 500, body: "" };
    };
    await using renewal = new Renewal(failing, { user });
    await using use = new RedisUse(server.options, renewal.logins);
    // Commands do not wait for the time that connecting may take.
    const waiting = failureOf(use.connection.send("PING", []));
    expect(await within(waiting, 10_000, "a failure")).toMatchObject({
      message: "there is no access token yet",
    });
    expect(use.events).toEqual([{ kind: "redis_down", reason: "there is no access token yet" }]);
    const info = await server.cli("INFO", "stats");
    renewal.authority.answer = { kind: "token", lifeS: 3_600 };
    await renewal.clock.advance(2_000);
    await use.untilEmitted("redis_up");
    expect(await use.connection.send("ACL", ["WHOAMI"])).toBe("relay");
    // Only redis-cli had connected before.
    expect(info).toContain("total_connections_received:1\r");
  });

  test("work while the authority fails, are lost with their token, and come back with the next one", async () => {
    await using server = await RedisServer.start();
    await using renewal = new Renewal(acceptTokens([server]), { user });
    await using use = new RedisUse(server.options, renewal.logins);
    await use.connection.send("PING", []);
    const { authority, clock } = renewal;
    authority.answer = { kind: "answer", status: 500, body: "" };
    await clock.advance(45 * MINUTE);
    await renewal.requested(2);
    await server.cli("CLIENT", "KILL", "USER", "relay");
    await use.untilEmitted("redis_up");
    expect(await use.connection.send("PING", [])).toBe("PONG");
    // The token ends: Redis closes its connections, and accepts it no more.
    await server.cli("ACL", "SETUSER", "relay", "resetpass");
    await server.cli("CLIENT", "KILL", "USER", "relay");
    await use.untilEmitted("redis_down", 2);
    await eventually(() => expect(use.connection.isUp).toBeFalse());
    authority.answer = { kind: "token", lifeS: 3_600 };
    await clock.advance(clock.nextWakeInMs ?? 0);
    await use.untilEmitted("redis_up", 2);
    expect(await use.connection.send("ACL", ["WHOAMI"])).toBe("relay");
  });

  test("that subscribe are replaced, so that notices of a fleet arrive with the new token as well", async () => {
    await using server = await RedisServer.start();
    await using tap = await LoginTap.start(server.port);
    await using renewal = new Renewal(acceptTokens([server]), { user });
    const address = { kind: "single", host: "127.0.0.1", port: tap.port, db: 0 } as const;
    await using use = new RedisUse({ ...server.options, address }, renewal.logins);
    const supervisor = new Supervisor({ clock: systemClock, emit: () => {} });
    await using notices = new RedisNotices(use.connection, systemClock, supervisor);
    const heard: string[] = [];
    notices.listen((feed, { lcut }) => heard.push(`${feed} ${lcut}`));
    await eventually(() => expect(notices.isListening).toBeTrue());
    for (let rotations = 0; rotations < 2; rotations++) {
      const token = await rotate(renewal, [server]);
      await eventually(() => expect(tap.passwords).toEqual(Array(3).fill(token)));
      await eventually(() => expect(notices.isListening).toBeTrue());
      const feed = "f".repeat(42) + rotations;
      await eventually(async () => {
        await notices.publish(feed, { lcut: 7, checksum: "" });
        expect(heard).toContain(`${feed} 7`);
      });
    }
    expect(use.events).toEqual([]);
  });

  test.each(["single", "cluster"] as const)(
    "that wait for the first token end at once (%s)",
    async (kind) => {
      const single = { kind: "single", host: "127.0.0.1", port: 1, db: 0 } as const;
      const cluster = { kind: "cluster", nodes: [{ host: "127.0.0.1", port: 1 }] } as const;
      const renewal = new Renewal((authority) => (authority.answer = { kind: "silence" }));
      const address = kind === "single" ? single : cluster;
      const use = new RedisUse({ ...DEFAULT_REDIS_OPTIONS, address }, renewal.logins);
      const waiting = failureOf(use.connection.send("PING", []));
      await eventually(() => expect(renewal.authority.requests).toHaveLength(1));
      await within(use[Symbol.asyncDispose](), 6_000, "the end of the connections");
      await within(renewal[Symbol.asyncDispose](), 6_000, "the end of the renewal");
      expect(await waiting).toMatchObject({ message: "the relay is shutting down" });
      expect([...use.events, ...renewal.events]).toEqual([]);
    },
  );

  test("of a Cluster log in to each node", async () => {
    await using cluster = await RedisCluster.start();
    await using renewal = new Renewal(acceptTokens(cluster.nodes), { user });
    await using use = new RedisUse(cluster.options, renewal.logins);
    const write = (key: string) => use.connection.send("SET", [key, "1"]);
    const keys = ["a", "b", "c", "d", "e", "f"];
    for (const key of keys) await eventually(async () => expect(await write(key)).toBe("OK"));
    const logins = () => Promise.all(cluster.nodes.map(countLogins));
    const before = await logins();
    await rotate(renewal, cluster.nodes);
    await eventually(async () => {
      for (const [at, count] of (await logins()).entries()) expect(count).toBeGreaterThan(before[at] ?? 0);
    });
    for (const node of cluster.nodes) await node.cli("CLIENT", "KILL", "USER", "relay");
    for (const key of keys) {
      await eventually(async () => expect(await write(key)).toBe("OK"));
    }
    for (const node of cluster.nodes) expect(await node.cli("CLIENT", "LIST")).toContain("user=relay");
  });

  test("by way of Sentinels log in to the master", async () => {
    await using sentinels = await RedisSentinels.start();
    const { master } = sentinels;
    await using renewal = new Renewal(acceptTokens([master]), { user });
    await using use = new RedisUse(sentinels.options, renewal.logins);
    expect(await use.connection.send("ACL", ["WHOAMI"])).toBe("relay");
    const before = await countLogins(master);
    await rotate(renewal, [master]);
    await eventually(async () => expect(await countLogins(master)).toBeGreaterThan(before));
    expect(use.events).toEqual([]);
  });
});

async function countLogins(server: RedisServer): Promise<number> {
  const stats = await server.cli("INFO", "commandstats");
  return Number(/cmdstat_auth:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}
