/** A variable of the environment that is no option: most have their names from the original proxy. */
export interface VariableSpec {
  readonly name: string;
  /** As a person would write it; undefined where there is none. */
  readonly default?: string;
  /** Never shown. */
  readonly isSecret?: true;
  readonly description: string;
}

/** Every such variable that the relay, or a library in it, reads. */
export const VARIABLES: readonly VariableSpec[] = [
  {
    name: "STATSIG_ENDPOINT",
    default: "https://api.statsigcdn.com, for ID lists https://api.statsig.com",
    description: "Upstream: Statsig's CDN, another relay, or your own",
  },
  {
    name: "LOG_EVENT_STATSIG_ENDPOINT",
    default: "https://statsigapi.net",
    description: "Where events go; STATSIG_ENDPOINT has no say in it",
  },
  {
    name: "LOG_EVENT_DEDUPE_CACHE_LIMIT",
    default: "2000000",
    description: "Exposures that are remembered to leave out repeats, 24 bytes each",
  },
  {
    name: "HTTPS_PROXY",
    description: "The way to an upstream of https:// (not to one that speaks HTTP/2 alone)",
  },
  { name: "HTTP_PROXY", description: "The way to an upstream of http://" },
  { name: "NO_PROXY", description: "Hosts that are reached without a proxy: a comma list" },
  { name: "NODE_EXTRA_CA_CERTS", description: "A PEM file of further certificate authorities for upstream" },
  {
    name: "SFP_X509_SERVER_KEY_PASSPHRASE",
    isSecret: true,
    description: "Of the private key, where that is encrypted",
  },
  {
    name: "REDIS_URL",
    isSecret: true,
    description: "redis://user:password@host:port/db, rediss:// for TLS",
  },
  { name: "REDIS_ENTERPRISE_HOST", default: "127.0.0.1", description: "The same in parts" },
  { name: "REDIS_ENTERPRISE_PORT", default: "6379", description: "The same in parts" },
  { name: "REDIS_ENTERPRISE_USER", description: "The same in parts" },
  { name: "REDIS_ENTERPRISE_PASSWORD", isSecret: true, description: "The same in parts" },
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
    description: "Connections to Redis that stay open; commands are pipelined, so one is usually enough",
  },
  {
    name: "REDIS_CONNECTION_POOL_MAX_SIZE",
    default: "1",
    description: "Connections to Redis at most; more help where large configs keep small commands waiting",
  },
  {
    name: "EVENT_CHANNEL_SIZE",
    default: "50000",
    description: "Measurements that may wait for each place that they are sent to",
  },
  {
    name: "DATADOG_MAX_BATCH_TIME_MS",
    default: "10000",
    description: "How often measurements are sent",
  },
  {
    name: "HOSTNAME",
    default: "no_hostname_set",
    description: "Told to gRPC clients as x-sfp-hostname",
  },
];
