// A data adapter for statsig-node that reads the config specs that a forward proxy writes to Redis.
// See docs/passive-mode.md. Install: npm install statsig-node ioredis
import { Redis } from "ioredis";

export class RedisDataAdapter {
  #redis;

  /** `redis` is an ioredis client, or an argument of its constructor, such as a URL. */
  constructor(redis) {
    this.#redis = redis instanceof Redis ? redis : new Redis(redis);
    // Without a listener, ioredis prints each failed connection attempt. A failed get reports the same error.
    this.#redis.on("error", () => {});
  }

  async initialize() {}

  /** The SDK passes the whole Redis key, in schema v3, which the proxy writes by default. */
  async get(key) {
    const [config, lcut] = await this.#redis.hmget(key, "config", "lcut");
    return config === null ? {} : { result: config, time: Number(lcut) };
  }

  /** Does nothing: only the proxy writes. */
  async set() {}

  /** True: the SDK polls Redis for new versions too, not only at its start. */
  supportsPollingUpdatesFor(path) {
    return path === "/v1/download_config_specs";
  }

  async shutdown() {
    this.#redis.disconnect();
  }
}
