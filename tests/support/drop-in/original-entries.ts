import { createHash } from "node:crypto";
import { Redis } from "ioredis";

/** An entry of Redis as the original proxy writes it. */
interface OriginalEntry<Config> {
  /** 3.x names a key by the digest of the SDK key, 4.x by its first 20 characters. */
  readonly schema: "v3" | "v4";
  readonly version: "v1" | "v2";
  readonly lcut: number;
  readonly config: Config;
}

/** The entries of one SDK key in a Redis, written and read as the original proxy does (docs/protocol.md, Redis keys). */
export class OriginalEntries {
  readonly #redis: { readonly port: number };
  readonly #sdkKey: string;

  constructor(redis: { readonly port: number }, sdkKey: string) {
    this.#redis = redis;
    this.#sdkKey = sdkKey;
  }

  async write({ schema, version, lcut, config }: OriginalEntry<string>): Promise<void> {
    await this.#put(this.keyOf(schema, version, "plain_text"), lcut, config);
  }

  /** The field `encoding` of a protobuf entry is `plain_text` too. */
  async writeProto({ schema, version, lcut, config }: OriginalEntry<Uint8Array>): Promise<void> {
    await this.#put(this.keyOf(schema, version, "statsig-br"), lcut, Buffer.from(config));
  }

  /** Returns the JSON entry as an original that starts on this Redis finds it; undefined if there is none. */
  async read(schema: "v3" | "v4", version: "v1" | "v2") {
    using client = this.#connect();
    const key = this.keyOf(schema, version, "plain_text");
    const [encoding, lcut, config] = await client.redis.hmget(key, "encoding", "lcut", "config");
    if (config === null || config === undefined) return undefined;
    return { encoding, lcut: Number(lcut), config };
  }

  keyOf(schema: "v3" | "v4", version: "v1" | "v2", encoding: "plain_text" | "statsig-br"): string {
    const digest = createHash("sha256").update(this.#sdkKey).digest("base64");
    const owner = schema === "v3" ? digest : this.#sdkKey.slice(0, 20);
    return `statsig|/${version}/download_config_specs|${encoding}|${owner}`;
  }

  async #put(key: string, lcut: number, config: string | Buffer): Promise<void> {
    using client = this.#connect();
    await client.redis.hset(key, { encoding: "plain_text", lcut: String(lcut), config });
  }

  #connect(): { readonly redis: Redis } & Disposable {
    const redis = new Redis({ host: "127.0.0.1", port: this.#redis.port });
    return { redis, [Symbol.dispose]: () => redis.disconnect() };
  }
}
