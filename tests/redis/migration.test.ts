import { expect, test } from "bun:test";
import { Redis } from "ioredis";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { OriginalRelay } from "../support/redis/original-relay.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { UNPREFIXED } from "../support/redis/unprefixed-keys.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { type PublishedKey, publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const feed = feedOf("secret-of-a-migrating-customer");
const [V4, V3] = UNPREFIXED.entries(feed, ["v4", "v3"]).map(({ name }) => name) as [string, string];
const UPDATES_PER_PHASE = 2;

/** An SDK in passive mode: reads one key again and again. */
class PassiveClient {
  readonly #key: string;
  readonly #redis: Redis;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  lcut = 0;

  constructor(port: number, key: string) {
    this.#key = key;
    this.#redis = new Redis({ port, host: "127.0.0.1" });
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const [lcut, config] = await this.#redis.hmget(this.#key, "lcut", "config");
      if (lcut !== null || this.lcut > 0) {
        expect(Number(lcut)).toBeGreaterThanOrEqual(this.lcut);
        expect(config).toBe(versionOf(feed.sdkKey, (Number(lcut) - versionOf(feed.sdkKey).lcut) / 60_000).v2);
        this.lcut = Number(lcut);
      }
      await Bun.sleep(5);
    }
  }

  /** Rejects if what it read was ever older than before, or not whole. */
  async end(): Promise<void> {
    this.#ending.abort();
    await this.#running.finally(() => this.#redis.disconnect());
  }
}

/** Updates at upstream. An original sends what it got to Redis before upstream has the next version. */
class Updates {
  readonly originals: OriginalRelay[] = [];
  readonly #upstream: Upstream;
  #number = 0;

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
  }

  async next(): Promise<PublishedKey> {
    const version = publishKey(this.#upstream, feed.sdkKey, this.#number++);
    for (const original of this.originals) await original.update(feed, version.lcut, version.v2);
    return version;
  }
}

describeWith("redis-server")("A migration on one Redis, with updates all the time", () => {
  test("from originals to relays and back: readers of 4.x and of 3.x keys get every version, and never an older one", async () => {
    await using owned = new AsyncDisposableStack();
    const server = owned.use(await RedisServer.start());
    const upstream = owned.use(await startUpstream());
    const updates = new Updates(upstream);
    const clients = { v4: new PassiveClient(server.port, V4), v3: new PassiveClient(server.port, V3) };
    const startOriginal = () => owned.use(new OriginalRelay({ port: server.port, leaderKeyTtlS: 2 }));
    const startRelay = async () =>
      owned.use(
        await startRelayProcess({
          ...{ upstream, mode: "http", cache: "redis" },
          args: ["--preload-sdk-keys", feed.sdkKey, "-r", "1"],
          env: { REDIS_URL: `redis://127.0.0.1:${server.port}` },
        }),
      );
    /** Each version must reach these readers before the next one comes. */
    const reaches = async (...readers: (keyof typeof clients)[]) => {
      for (let update = 0; update < UPDATES_PER_PHASE; update++) {
        const { lcut } = await updates.next();
        for (const reader of readers) {
          await eventually(() => expect(clients[reader].lcut).toBe(lcut), { withinMs: 15_000 });
        }
      }
    };
    const relays: RelayProcess[] = [];

    updates.originals.push(startOriginal(), startOriginal());
    await reaches("v4");
    // Mixed: the originals lead.
    relays.push(await startRelay(), await startRelay());
    await reaches("v4", "v3");
    // The originals are cut off from upstream, and one of them still holds the leader key.
    const cutOff = updates.originals.splice(0);
    await reaches("v4", "v3");
    // Relays alone. One of them is killed.
    for (const original of cutOff) await original[Symbol.asyncDispose]();
    await relays[0]?.kill();
    await reaches("v4", "v3");
    // Back: an original reaches upstream, the relay does not.
    // A version that an original gets while another one holds the leader key is never written by it.
    await eventually(async () => expect(await server.cli("EXISTS", UNPREFIXED.leader)).toBe("0"), {
      withinMs: 15_000,
    });
    upstream.misbehave({ kind: "reset" });
    updates.originals.push(startOriginal());
    await reaches("v4", "v3");
    // Originals alone.
    await relays[1]?.kill();
    await reaches("v4");
    for (const client of Object.values(clients)) await client.end();
  }, 60_000);
});
