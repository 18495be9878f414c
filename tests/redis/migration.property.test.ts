import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { Redis } from "ioredis";
import { djb2 } from "../../src/access/sdk-key.ts";
import type { Feed } from "../../src/specs/feed.ts";
import type { FetchOutcome, SpecSource } from "../../src/specs/source.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { MigratingRelay } from "../support/redis/migrating-relay.ts";
import { type OriginalGeneration, OriginalRelay } from "../support/redis/original-relay.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { failed } from "../support/specs/scripted-source.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { specV2 } from "../support/upstream/payloads.ts";

const FIRST = 1_700_000_000_000;

/** Upstream of both kinds of relays; each kind may be cut off from it. */
class Upstream {
  lcut = FIRST;
  readonly reaches = { ours: true, originals: true };
  readonly #feed: Feed;

  constructor(feed: Feed) {
    this.#feed = feed;
  }

  publish(): void {
    this.lcut++;
  }

  configAt(lcut: number): string {
    return JSON.stringify(specV2({ lcut, sdkKey: this.#feed.sdkKey }));
  }

  readonly source: SpecSource = {
    fetchSpecs: async (feed, sinceTime): Promise<FetchOutcome> => {
      if (!this.reaches.ours) return failed("unreachable");
      if (sinceTime >= this.lcut) return { kind: "no_update" };
      const body = new TextEncoder().encode(this.configAt(this.lcut));
      const sdkKeyHash = djb2(feed.sdkKey);
      return {
        kind: "payload",
        raw: { body, contentEncoding: "", format: "json", headerLcut: this.lcut, sdkKeyHash },
      };
    },
  };
}

/** An original relay with its memory. */
class RunningOriginal extends OriginalRelay {
  heldLcut = 0;

  async poll(feed: Feed, upstream: Upstream): Promise<void> {
    const { lcut } = upstream;
    if (!upstream.reaches.originals) {
      const read = await this.read(feed);
      if (read !== undefined && read.lcut > this.heldLcut) this.heldLcut = read.lcut;
    } else if (lcut > this.heldLcut) {
      await this.update(feed, lcut, upstream.configAt(lcut));
      this.heldLcut = lcut;
    }
  }
}

/** SDKs in passive mode, one for each schema. */
class PassiveReaders {
  readonly #redis: Redis;
  readonly #keys: readonly string[];
  readonly #seen = new Map<string, number>();
  readonly #upstream: Upstream;

  constructor(redis: Redis, keys: readonly string[], upstream: Upstream) {
    this.#redis = redis;
    this.#keys = keys;
    this.#upstream = upstream;
  }

  /** Each version must be whole, and no older than what the reader saw before. */
  async read(): Promise<readonly number[]> {
    return Promise.all(this.#keys.map((key) => this.#readOne(key)));
  }

  async #readOne(key: string): Promise<number> {
    const [lcut, config] = await this.#redis.hmget(key, "lcut", "config");
    const seen = this.#seen.get(key) ?? 0;
    if (lcut === null && seen === 0) return 0;
    expect(Number(lcut)).toBeGreaterThanOrEqual(seen);
    expect(config).toBe(this.#upstream.configAt(Number(lcut)));
    this.#seen.set(key, Number(lcut));
    return Number(lcut);
  }
}

const step = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: "publish" } as const) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("poll" as const), ours: fc.boolean(), which: fc.nat(1) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("restart" as const), ours: fc.boolean(), which: fc.nat(1) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("stop" as const), ours: fc.boolean(), which: fc.nat(1) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("connect" as const), ours: fc.boolean(), to: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: "leader_expires" } as const) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Relays of both kinds on one Redis. Those of a slot that is undefined do not run. */
class MixedFleet implements AsyncDisposable {
  readonly ours: (MigratingRelay | undefined)[] = [undefined, undefined];
  readonly originals: (RunningOriginal | undefined)[] = [undefined, undefined];
  readonly #server: RedisServer;
  readonly #redis: Redis;
  readonly #feed: Feed;
  readonly #upstream: Upstream;
  readonly #generation: OriginalGeneration;

  constructor(
    server: RedisServer,
    redis: Redis,
    feed: Feed,
    upstream: Upstream,
    generation: OriginalGeneration,
  ) {
    this.#server = server;
    this.#redis = redis;
    this.#feed = feed;
    this.#upstream = upstream;
    this.#generation = generation;
  }

  async run(step: Step): Promise<void> {
    switch (step.kind) {
      case "publish":
        return this.#upstream.publish();
      case "connect":
        this.#upstream.reaches[step.ours ? "ours" : "originals"] = step.to;
        return;
      case "leader_expires":
        // A relay of ours gives a TTL to a leader key that has none.
        await this.#redis.del(UNPREFIXED.leader);
        return;
      case "poll":
        if (step.ours) await this.ours[step.which]?.poll(this.#feed);
        else await this.originals[step.which]?.poll(this.#feed, this.#upstream);
        return;
      case "stop":
      case "restart":
        await this.#replace(step.ours, step.which, step.kind === "restart");
    }
  }

  async #replace(isOurs: boolean, which: number, isStarted: boolean): Promise<void> {
    const slots = isOurs ? this.ours : this.originals;
    await slots[which]?.[Symbol.asyncDispose]();
    slots[which] = undefined;
    if (!isStarted) return;
    if (isOurs) this.ours[which] = new MigratingRelay(this.#server, this.#upstream.source);
    else
      this.originals[which] = new RunningOriginal({ port: this.#server.port, generation: this.#generation });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of [...this.ours, ...this.originals]) await each?.[Symbol.asyncDispose]();
  }
}

describeWith("redis-server", "redis-cli")("A rolling migration on one Redis", () => {
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

  const start = async (fleet: MixedFleet, ...kinds: boolean[]) => {
    for (const [which, ours] of kinds.entries()) await fleet.run({ kind: "restart", ours, which: which % 2 });
  };

  test.each(["4.x", "3.x"] as const)(
    "next to originals of %s, whatever starts, stops, fails and expires: a passive reader never sees an older version, and gets the newest from any relay that reaches upstream",
    async (generation) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 5, maxLength: 30 }),
          fc.boolean(),
          async (steps, oursFirst) => {
            await redis.flushall();
            const feed = feedOf(`secret-${randomUUID()}`);
            const upstream = new Upstream(feed);
            const keys = UNPREFIXED.entries(feed, ["v4", "v3"]).map(({ name }) => name);
            const readers = new PassiveReaders(redis, keys, upstream);
            await using fleet = new MixedFleet(server, redis, feed, upstream, generation);
            await start(fleet, oursFirst, oursFirst);
            for (const each of steps) {
              await fleet.run(each);
              await readers.read();
            }
            // Of ours, one that reaches upstream is enough, even if an original holds the leader key.
            upstream.publish();
            upstream.reaches.ours = true;
            await fleet.run({ kind: "restart", ours: true, which: 0 });
            await fleet.run({ kind: "poll", ours: true, which: 0 });
            expect(await readers.read()).toEqual([upstream.lcut, upstream.lcut]);
            // What an original wrote under its key is under every key once a relay of ours without upstream has polled.
            upstream.publish();
            upstream.reaches.ours = false;
            upstream.reaches.originals = true;
            await fleet.run({ kind: "leader_expires" });
            await fleet.run({ kind: "restart", ours: false, which: 0 });
            await fleet.run({ kind: "poll", ours: false, which: 0 });
            await fleet.run({ kind: "poll", ours: true, which: 0 });
            expect(await readers.read()).toEqual([upstream.lcut, upstream.lcut]);
          },
        ),
        { numRuns: 30 },
      );
    },
    60_000,
  );

  test("an original that decided to write before a newer version came replaces it, and the newer one is back in seconds", async () => {
    await redis.flushall();
    const feed = feedOf("secret-of-a-slow-original");
    const upstream = new Upstream(feed);
    await using original = new OriginalRelay({ port: server.port });
    await using relay = new MigratingRelay(server, upstream.source);
    const [key = ""] = original.keysOf(feed);
    expect(await original.decide(key, FIRST)).toBe(true);
    upstream.publish();
    await relay.poll(feed);
    await original.write(key, FIRST, upstream.configAt(FIRST));
    expect(await redis.hget(key, "lcut")).toBe(String(FIRST));
    await eventually(
      async () =>
        expect(await redis.hmget(key, "lcut", "config")).toEqual([
          String(upstream.lcut),
          upstream.configAt(upstream.lcut),
        ]),
      { withinMs: 15_000 },
    );
  }, 20_000);

  test("an original writes what only its own clients use while relays of ours write", async () => {
    await redis.flushall();
    const [shared, theirs] = [feedOf("secret-used-at-both-kinds"), feedOf("secret-only-of-originals")];
    const upstream = new Upstream(shared);
    await using original = new OriginalRelay({ port: server.port });
    await using relay = new MigratingRelay(server, upstream.source);
    for (let round = 1; round <= 3; round++) {
      upstream.publish();
      await relay.poll(shared);
      expect(await original.update(theirs, round, `{"time":${round}}`)).toEqual([...original.keysOf(theirs)]);
    }
  });

  test("an original that holds the leader key and lost upstream keeps nobody from a newer version", async () => {
    await redis.flushall();
    const feed = feedOf("secret-of-a-cut-off-leader");
    const upstream = new Upstream(feed);
    await using leader = new OriginalRelay({ port: server.port, leaderKeyTtlS: 100_000 });
    await leader.update(feed, upstream.lcut, upstream.configAt(upstream.lcut));
    await using relay = new MigratingRelay(server, upstream.source);
    upstream.publish();
    await relay.poll(feed);
    const keys = UNPREFIXED.entries(feed, ["v4", "v3"]);
    for (const { name } of keys) expect(await redis.hget(name, "lcut")).toBe(String(upstream.lcut));
    expect(await redis.get(UNPREFIXED.leader)).toBe(leader.id);
  });
});
