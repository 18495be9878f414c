import type { VariableSpec } from "./variable-spec.ts";

/** Where Redis is, and how to reach it. */
export const REDIS_VARIABLES: readonly VariableSpec[] = [
  {
    name: "REDIS_URL",
    description: "redis://user:password@host:port/db, rediss:// for TLS",
  },
  { name: "REDIS_ENTERPRISE_HOST", default: "127.0.0.1", description: "Its host, in the place of that" },
  { name: "REDIS_ENTERPRISE_PORT", default: "6379", description: "Its port" },
  { name: "REDIS_ENTERPRISE_USER", description: "The user, where it has others than its own" },
  { name: "REDIS_ENTERPRISE_PASSWORD", isSecret: true, description: "The password" },
  { name: "REDIS_SENTINELS", description: "Sentinels: host:port, a comma list" },
  { name: "REDIS_SENTINEL_MASTER", description: "The name of the master that they watch" },
  { name: "REDIS_CLUSTER_NODES", description: "Nodes of a cluster: host:port, a comma list" },
  { name: "REDIS_TLS", default: "false", description: "TLS to Redis" },
  { name: "REDIS_TLS_CA_PATH", description: "A PEM file of the authorities of Redis' certificate" },
  { name: "REDIS_TLS_CERT_PATH", description: "A PEM file of a certificate for Redis" },
  { name: "REDIS_TLS_KEY_PATH", description: "A PEM file of its private key" },
  {
    name: "REDIS_CONNECTION_POOL_MIN_SIZE",
    default: "1",
    description:
      "Connections for large values that are opened at the start; commands are pipelined, so one is usually enough",
  },
  {
    name: "REDIS_CONNECTION_POOL_MAX_SIZE",
    default: "1",
    description: "Connections for large values at most; more help if one can't use all of the network",
  },
];
