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
    fetchSpecs: async (feed, held): Promise<FetchOutcome> => {
      if (!this.reaches.ours) return failed("unreachable");
      if (held.lcut >= this.lcut) return { kind: "no_update" };
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

interface MixedFleetOptions {
  readonly server: RedisServer;
  readonly redis: Redis;
  readonly feed: Feed;
  readonly upstream: Upstream;
  readonly generation: OriginalGeneration;
}

/** Relays of both kinds on one Redis. Those of a slot that is undefined do not run. */
class MixedFleet implements AsyncDisposable {
  readonly #ours: (MigratingRelay | undefined)[] = [undefined, undefined];
  readonly #originals: (RunningOriginal | undefined)[] = [undefined, undefined];
  readonly #options: MixedFleetOptions;

  constructor(options: MixedFleetOptions) {
    this.#options = options;
  }

  async run(step: Step): Promise<void> {
    const { upstream, redis, feed } = this.#options;
    switch (step.kind) {
      case "publish":
        return upstream.publish();
      case "connect":
        upstream.reaches[step.ours ? "ours" : "originals"] = step.to;
        return;
      case "leader_expires":
        // A relay of ours gives a TTL to a leader key that has none.
        await redis.del(UNPREFIXED.leader);
        return;
      case "poll":
        if (step.ours) await this.#ours[step.which]?.poll(feed);
        else await this.#originals[step.which]?.poll(feed, upstream);
        return;
      case "stop":
      case "restart":
        await this.#replace(step.ours, step.which, step.kind === "restart");
    }
  }

  async #replace(isOurs: boolean, which: number, isStarted: boolean): Promise<void> {
    const { server, upstream, generation } = this.#options;
    const slots = isOurs ? this.#ours : this.#originals;
    await slots[which]?.[Symbol.asyncDispose]();
    slots[which] = undefined;
    if (!isStarted) return;
    if (isOurs) {
      const options = { doubleWriteLegacy: generation === "1.x" };
      this.#ours[which] = new MigratingRelay(server, upstream.source, options);
    } else this.#originals[which] = new RunningOriginal({ port: server.port, generation });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of [...this.#ours, ...this.#originals]) await each?.[Symbol.asyncDispose]();
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

  /** Two relays of one kind run first. 1.x has keys for v1 alone, which ours writes with double write. */
  async function setUp(generation: OriginalGeneration, oursFirst: boolean) {
    await redis.flushall();
    const isOldest = generation === "1.x";
    const feed = feedOf(`secret-${randomUUID()}`, isOldest ? "v1" : "v2");
    const upstream = new Upstream(feed);
    const keys = UNPREFIXED.entries(feed, ["v4", "v3", ...(isOldest ? (["v1"] as const) : [])]);
    const fleet = new MixedFleet({ server, redis, feed, upstream, generation });
    for (const which of [0, 1]) await fleet.run({ kind: "restart", ours: oursFirst, which });
    const readers = new PassiveReaders(
      redis,
      keys.map(({ name }) => name),
      upstream,
    );
    return { feed, upstream, fleet, readers };
  }

  test.each(["4.x", "3.x", "1.x"] as const)(
    "next to originals of %s, whatever starts, stops, fails and expires: a passive reader never sees an older version, and gets the newest from any relay that reaches upstream",
    async (generation) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 5, maxLength: 30 }),
          fc.boolean(),
          async (steps, oursFirst) => {
            const { upstream, readers, ...rest } = await setUp(generation, oursFirst);
            await using fleet = rest.fleet;
            for (const each of steps) {
              await fleet.run(each);
              await readers.read();
            }
            const haveNewest = async () =>
              expect(new Set(await readers.read())).toEqual(new Set([upstream.lcut]));
            // Of ours, one that reaches upstream is enough, even if an original holds the leader key.
            upstream.publish();
            upstream.reaches.ours = true;
            await fleet.run({ kind: "restart", ours: true, which: 0 });
            await fleet.run({ kind: "poll", ours: true, which: 0 });
            await haveNewest();
            // What an original wrote under its key is under every key once a relay of ours without upstream has polled.
            upstream.publish();
            upstream.reaches.ours = false;
            upstream.reaches.originals = true;
            await fleet.run({ kind: "leader_expires" });
            await fleet.run({ kind: "restart", ours: false, which: 0 });
            await fleet.run({ kind: "poll", ours: false, which: 0 });
            await fleet.run({ kind: "poll", ours: true, which: 0 });
            await haveNewest();
          },
        ),
        { numRuns: 30 },
      );
    },
    60_000,
  );

  test("relays of both kinds that poll at the same time leave the newest version under every key", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
        const { upstream, feed, ...rest } = await setUp("4.x", true);
        await using fleet = rest.fleet;
        for (const which of [0, 1]) await fleet.run({ kind: "restart", ours: false, which });
        const polls = steps.filter(({ kind }) => kind === "poll" || kind === "publish");
        for (let at = 0; at < polls.length; at += 5) {
          await Promise.all(polls.slice(at, at + 5).map((each) => fleet.run(each)));
        }
        upstream.publish();
        await Promise.all(
          [true, false].flatMap((ours) => [0, 1].map((which) => fleet.run({ kind: "poll", ours, which }))),
        );
        for (const { name } of UNPREFIXED.entries(feed, ["v4", "v3"])) {
          // A relay looks after two seconds whether an original replaced its version.
          await eventually(async () => expect(await redis.hget(name, "lcut")).toBe(String(upstream.lcut)), {
            withinMs: 15_000,
          });
          expect(await redis.hget(name, "config")).toBe(upstream.configAt(upstream.lcut));
        }
      }),
      { numRuns: 10 },
    );
  }, 60_000);

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
