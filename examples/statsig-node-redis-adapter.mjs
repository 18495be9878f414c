// A data adapter for statsig-node that reads what a forward proxy wrote to Redis.
// See docs/passive-mode.md. Needs: npm install statsig-node ioredis
import { Redis } from "ioredis";

export class RedisDataAdapter {
  #redis;

  /** `redis` is an ioredis client, or what its constructor takes, such as a URL. */
  constructor(redis) {
    this.#redis = redis instanceof Redis ? redis : new Redis(redis);
    // Without a listener ioredis prints each failed attempt to connect; a failed get says the same.
    this.#redis.on("error", () => {});
  }

  async initialize() {}

  /** The SDK makes the key itself, in the form that the proxy writes by default. */
  async get(key) {
    const [config, lcut] = await this.#redis.hmget(key, "config", "lcut");
    return config === null ? {} : { result: config, time: Number(lcut) };
  }

  /** Only the proxy writes. */
  async set() {}

  /** New versions are taken from Redis too, not only the first. */
  supportsPollingUpdatesFor(path) {
    return path === "/v1/download_config_specs";
  }

  async shutdown() {
    this.#redis.disconnect();
  }
}
