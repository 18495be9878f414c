// A data store for @statsig/statsig-node-core that reads what a forward proxy wrote to Redis.
// See docs/passive-mode.md. Needs: npm install @statsig/statsig-node-core ioredis
import { Redis } from "ioredis";

/** What the SDK is given as `dataStore`. `redis` is an ioredis client, or what its constructor takes, such as a URL. */
export function createRedisDataStore(redis) {
  const client = redis instanceof Redis ? redis : new Redis(redis);
  // Without a listener ioredis prints each failed attempt to connect; a failed get says the same.
  client.on("error", () => {});

  return {
    initialize: async () => {},

    /** The SDK makes the key itself: the proxy's default form, or v4 with `dataStoreKeySchemaVersion: "v3"`. */
    get: async (key) => {
      const [config, lcut] = await client.hmget(key, "config", "lcut");
      return config === null ? {} : { result: config, time: Number(lcut) };
    },

    /** For protobuf specs. The SDK takes a plain array of numbers, no Buffer. */
    getBytes: async (key) => {
      const [config, lcut] = await client.hmgetBuffer(key, "config", "lcut");
      return config === null ? {} : { result: Array.from(config), time: Number(lcut?.toString()) };
    },

    /** Only the proxy writes. */
    set: async () => {},
    setBytes: async () => {},

    /** New versions are taken from Redis too, not only the first. */
    supportPollingUpdatesFor: async () => true,

    shutdown: async () => client.disconnect(),
  };
}
