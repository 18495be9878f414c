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
  { name: "STATSD_HOST_OVERRIDE", default: "127.0.0.1", description: "Where StatsD or Datadog's agent is" },
  { name: "STATSD_PORT_OVERRIDE", default: "8125", description: "Its UDP port" },
  { name: "STATSD_SOCKET", description: "Its Unix datagram socket, in the place of host and port" },
  {
    name: "DATADOG_SENDER_BUFFER_SIZE",
    default: "that of EVENT_CHANNEL_SIZE",
    description: "Measurements that may wait for StatsD or Datadog's agent",
  },
  {
    name: "DATADOG_MAX_BATCH_EVENT_COUNT",
    default: "3000",
    description: "Lines that are handed over to StatsD at one time",
  },
  { name: "DOGSTATSD_MAX_BUFFER_SIZE", default: "8000", description: "Bytes of a datagram to StatsD" },
  {
    name: "DOGSTATSD_MAX_TIME_MS",
    default: "30000",
    description:
      "How long lines may wait for more in their datagram; the end of each batch sends them anyhow",
  },
  {
    name: "DOGSTATSD_MAX_RETRY_ATTEMPT",
    default: "3",
    description: "How often a datagram is tried again before its batch is given up",
  },
  {
    name: "DOGSTATSD_INITIAL_RETRY_DELAY",
    default: "10",
    description: "Milliseconds before that is done first, doubled each time",
  },
  { name: "DD_ENV", description: "The tag env of every line to StatsD" },
  { name: "DD_SERVICE", description: "The tag service of every line to StatsD" },
  { name: "DD_VERSION", description: "The tag version of every line to StatsD" },
  {
    name: "NOTIFY_SOCKET",
    description:
      "The socket of systemd, which it sets for a unit of Type=notify; told of start, reload and stop",
  },
  {
    name: "WATCHDOG_USEC",
    description: "As systemd sets it for WatchdogSec: told twice in that time that the relay is not stuck",
  },
  { name: "WATCHDOG_PID", description: "Whom that is for" },
  {
    name: "HOSTNAME",
    default: "no_hostname_set",
    description: "Told to gRPC clients as x-sfp-hostname, to StatsD as the tag pod_name",
  },
];
