// A data store for @statsig/statsig-node-core that reads the config specs that a forward proxy writes to Redis.
// See docs/passive-mode.md. Install: npm install @statsig/statsig-node-core ioredis
import { Redis } from "ioredis";

/** Returns the SDK option `dataStore`. `redis` is an ioredis client, or an argument of its constructor, such as a URL. */
export function createRedisDataStore(redis) {
  const client = redis instanceof Redis ? redis : new Redis(redis);
  // Without a listener, ioredis prints each failed connection attempt. A failed get reports the same error.
  client.on("error", () => {});

  return {
    initialize: async () => {},

    /** The SDK passes the whole Redis key: schema v3, or v4 with `dataStoreKeySchemaVersion: "v3"`. */
    get: async (key) => {
      const [config, lcut] = await client.hmget(key, "config", "lcut");
      return config === null ? {} : { result: config, time: Number(lcut) };
    },

    /** For protobuf specs. The SDK requires a plain array of numbers, not a Buffer. */
    getBytes: async (key) => {
      const [config, lcut] = await client.hmgetBuffer(key, "config", "lcut");
      return config === null ? {} : { result: Array.from(config), time: Number(lcut?.toString()) };
    },

    /** Does nothing: only the proxy writes. */
    set: async () => {},
    setBytes: async () => {},

    /** True: the SDK polls Redis for new versions too, not only at its start. */
    supportPollingUpdatesFor: async () => true,

    shutdown: async () => client.disconnect(),
  };
}
