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

    /**
     * The SDK asks for the protobuf entry first, and for JSON only if there is none. Protobuf entries are updated only while
     * clients of the proxy use protobuf, so an older one must not hide newer JSON. The SDK requires a plain array, not a Buffer.
     */
    getBytes: async (key) => {
      const jsonKey = key.replace("|statsig-br|", "|plain_text|");
      const [lcut, jsonLcut] = await Promise.all([client.hget(key, "lcut"), client.hget(jsonKey, "lcut")]);
      if (lcut === null || Number(lcut) < Number(jsonLcut)) return {};
      const config = await client.hgetBuffer(key, "config");
      return config === null ? {} : { result: Array.from(config), time: Number(lcut) };
    },

    /** Does nothing: only the proxy writes. */
    set: async () => {},
    setBytes: async () => {},

    /** True: the SDK polls Redis for new versions too, not only at its start. */
    supportPollingUpdatesFor: async () => true,

    shutdown: async () => client.disconnect(),
  };
}
