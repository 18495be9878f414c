import { createHash, randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import type { Feed } from "../../../src/specs/feed.ts";

/** A generation of the original relay, by the keys that it writes. */
export type OriginalGeneration = "1.x" | "3.x" | "4.x";

export interface OriginalRelayOptions {
  readonly port: number;
  readonly generation?: OriginalGeneration;
  /** `--double-write-cache-for-legacy-key`. */
  readonly doubleWrite?: boolean;
  /** `REDIS_KEY_PREFIX`, as the original writes it before a key. */
  readonly prefix?: string;
  readonly leaderKeyTtlS?: number;
  readonly cacheTtlS?: number;
}

type Command = readonly [name: string, ...args: (string | Buffer | number)[]];

/** What the original relay does to Redis, command by command, as its sources have it. It keeps nothing in memory. */
export class OriginalRelay implements AsyncDisposable {
  readonly id = randomUUID();
  readonly #redis: Redis;
  readonly #options: Required<OriginalRelayOptions>;

  constructor({
    generation = "4.x",
    doubleWrite = false,
    prefix = "",
    leaderKeyTtlS = 70,
    cacheTtlS = 86_400,
    port,
  }: OriginalRelayOptions) {
    this.#options = { port, generation, doubleWrite, prefix, leaderKeyTtlS, cacheTtlS };
    this.#redis = new Redis({ port, host: "127.0.0.1", maxRetriesPerRequest: 1 });
  }

  /** Returns the key that it reads and writes, then the one that it also writes for older readers. */
  keysOf(feed: Feed): readonly string[] {
    const { generation, doubleWrite, prefix } = this.#options;
    const hex = `${prefix}statsig::${digest(feed, "hex")}`;
    const path = `${prefix}statsig|/${feed.version}/download_config_specs|${encodingOf(feed)}`;
    const hashed = `${path}|${digest(feed, "base64")}`;
    switch (generation) {
      case "1.x":
        return [hex];
      case "3.x":
        return doubleWrite ? [hashed, hex] : [hashed];
      case "4.x": {
        const begun = `${path}|${feed.sdkKey.slice(0, 20)}`;
        return doubleWrite ? [begun, hashed] : [begun];
      }
    }
  }

  get #leaderKey(): string {
    return `${this.#options.prefix}statsig_forward_proxy::leader`;
  }

  /** Upstream sent a version. Returns the keys that it wrote. */
  async update(feed: Feed, lcut: number, config: string | Buffer): Promise<readonly string[]> {
    const written: string[] = [];
    for (const key of this.keysOf(feed)) {
      if (!(await this.decide(key, lcut))) continue;
      await this.write(key, lcut, config);
      written.push(key);
    }
    return written;
  }

  /** The first of its two transactions: whether it is the leader, and the version is newer. */
  async decide(key: string, lcut: number): Promise<boolean> {
    const replies = await this.#transaction(this.#check(key));
    const [ttl, , leader, kept] = this.#options.generation === "1.x" ? [0, ...replies] : replies;
    const isLeader = leader === this.id;
    if (ttl === -1 && !isLeader) {
      await this.#transaction([
        ...this.#check(key),
        ["expire", this.#leaderKey, this.#options.leaderKeyTtlS],
      ]);
    }
    return isLeader && (kept === null || !/^\d+$/.test(String(kept)) || Number(kept) < lcut);
  }

  /** The second transaction, which repeats the commands of the first one but ignores their replies. */
  async write(key: string, lcut: number, config: string | Buffer): Promise<void> {
    const { generation, leaderKeyTtlS, cacheTtlS } = this.#options;
    const isOldest = generation === "1.x";
    await this.#transaction([
      ...this.#check(key),
      ...(isOldest ? [] : ([["hset", key, "encoding", "plain_text"]] as const)),
      ["hset", key, "lcut", lcut],
      ["hset", key, "config", config],
      ...(isOldest ? [] : ([["expire", key, cacheTtlS]] as const)),
      ["expire", this.#leaderKey, leaderKeyTtlS],
    ]);
  }

  #check(key: string): readonly Command[] {
    const ttl = ["ttl", this.#leaderKey] as const;
    return [
      ...(this.#options.generation === "1.x" ? [] : [ttl]),
      ["setnx", this.#leaderKey, this.id],
      ["get", this.#leaderKey],
      ["hget", key, "lcut"],
    ];
  }

  /** Upstream failed. It reads the JSON, whatever its client can read, and does not check whose it is. */
  async read(feed: Feed): Promise<{ readonly lcut: number; readonly config: string } | undefined> {
    const [key = ""] = this.keysOf({ ...feed, format: "json" });
    const [lcut, config] = await this.#transaction([
      ["hget", key, "lcut"],
      ["hget", key, "config"],
    ]);
    return config === null ? undefined : { lcut: Number(lcut ?? 0), config: String(config) };
  }

  /** Upstream rejected the SDK key, with `--clear-datastore-on-unauthorized`. */
  async clear(feed: Feed): Promise<void> {
    for (const key of this.keysOf({ ...feed, format: "json" })) await this.#redis.del(key);
  }

  async #transaction(commands: readonly Command[]): Promise<readonly unknown[]> {
    const replies = (await this.#redis.multi(commands.map((command) => [...command])).exec()) ?? [];
    return replies.map(([error, reply]) => {
      if (error !== null) throw error;
      return reply;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#redis.disconnect();
  }
}

const digest = ({ sdkKey }: Feed, encoding: "hex" | "base64"): string =>
  createHash("sha256").update(sdkKey).digest(encoding);

const encodingOf = ({ format }: Feed): string => (format === "proto" ? "statsig-br" : "plain_text");
