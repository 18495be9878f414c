import { BLOB_STORAGE_VARIABLES } from "./groups/blob-storage.ts";
import { REDIS_VARIABLES } from "./groups/cache.ts";
import { MANAGEMENT_TOKEN } from "./groups/listeners.ts";
import { METRIC_VARIABLES } from "./groups/monitoring.ts";
import { OTLP_VARIABLES } from "./groups/otlp.ts";
import { PROFILING_VARIABLES } from "./groups/profiling.ts";
import type { VariableSpec } from "./option.ts";

export const STATSIG_VARIABLES: readonly VariableSpec[] = [
  {
    name: "STATSIG_ENDPOINT",
    default: "https://api.statsigcdn.com",
    description:
      "URL of upstream: Statsig's CDN, another relay or your own server; several, separated by commas, in order of preference",
  },
  {
    name: "STATSIG_ENDPOINT_DOWNLOAD_ID_LIST_FILE",
    default: "the value of STATSIG_ENDPOINT",
    description:
      "URL that ID list files are fetched from. With --proxy-id-lists, by default the URLs in manifests",
  },
  {
    name: "STATSIG_ENDPOINT_DELTAS",
    hasNoEffect: true,
    description: "No effect: deltas are requested from STATSIG_ENDPOINT, with the polls of config specs",
  },
  {
    name: "LOG_EVENT_STATSIG_ENDPOINT",
    default: "https://statsigapi.net",
    description: "URL that log events are forwarded to, whatever STATSIG_ENDPOINT is",
  },
  {
    name: "LOG_EVENT_DEDUPE_CACHE_LIMIT",
    default: "2000000",
    description: "Maximum exposures remembered for deduplication, at 24 bytes each; 0 turns it off",
  },
  {
    name: "SFP_STARTUP_WARMUP_KEYS_JSON",
    isSecret: true,
    description:
      'What to fetch at the start: a JSON array of `{"sdk_key", "path", "encodings"}`, as for the original proxy',
  },
];

/** Variables that other programs read as well. */
const OUTBOUND: readonly VariableSpec[] = [
  {
    name: "HTTPS_PROXY",
    description: "Proxy for an https:// upstream (not for one that supports only HTTP/2)",
  },
  {
    name: "HTTP_PROXY",
    description: "Proxy for an http:// upstream (not for one that supports only HTTP/2)",
  },
  {
    name: "ALL_PROXY",
    description:
      "Proxy for any upstream, unless HTTPS_PROXY or HTTP_PROXY is set for it. Proxies are http:// or https://; one of SOCKS is ignored",
  },
  { name: "NO_PROXY", description: "Hosts that are connected to without a proxy, comma-separated" },
  {
    name: "NODE_EXTRA_CA_CERTS",
    description: "PEM file with additional CA certificates to trust for upstream",
  },
];

const PROCESS: readonly VariableSpec[] = [
  {
    name: MANAGEMENT_TOKEN,
    isSecret: true,
    description:
      "Token of the operator API on the management port, at least 16 characters, or @FILE with it; without it the API is off",
  },
  {
    name: "SFP_X509_SERVER_KEY_PASSPHRASE",
    isSecret: true,
    description: "Passphrase of --x509-server-key-path, if that is encrypted",
  },
  {
    name: "NOTIFY_SOCKET",
    description: "Socket for notifications of start, reload and stop; set by systemd for Type=notify",
  },
  {
    name: "WATCHDOG_USEC",
    description: "Watchdog timeout in microseconds, notified twice as often; set by systemd for WatchdogSec",
  },
  { name: "WATCHDOG_PID", description: "Process ID that WATCHDOG_USEC applies to; set by systemd" },
  {
    name: "COLUMNS",
    default: "100",
    description: "Width of --help in characters if it is not printed to a terminal",
  },
  {
    name: "HOSTNAME",
    default: "no_hostname_set",
    description: "Name of the relay in the gRPC header x-sfp-hostname and the StatsD tag pod_name",
  },
  {
    name: "STATE_DIRECTORY",
    description: "Folder of the local backup if --local-cache-path is not set; set by systemd",
  },
  {
    name: "XDG_STATE_HOME",
    default: "~/.local/state",
    description:
      "Parent of the folder statsig-forward-proxy for the local backup, if neither of those is set",
  },
];

/** What configures nginx and the runtime in the image of the original proxy, and the metrics of 1.x. */
const WITHOUT_EFFECT: readonly VariableSpec[] = [
  ["PROXY_CACHE_*", "responses are served from memory, without the cache of nginx"],
  ["NGINX_*", "there is no nginx: use --https-port and the options of TLS"],
  ["TOKIO_WORKER_THREADS_BACKGROUND", "there are no threads of Tokio"],
  ["ROCKET_*", "there is no Rocket: use --http-port, --bind-address and --max-request-body-in-mb"],
  ["DATADOG_SAMPLING_RATE", "metrics are sent once per interval, whatever the number of requests"],
  ["DATADOG_MAX_BACKOFF_MS", "metrics are sent once per interval"],
  ["DOGSTATSD_CLIENT_INITIALIZATION_*", "the relay starts before the agent can be reached"],
].map(([name = "", reason]) => ({ name, hasNoEffect: true, description: `No effect: ${reason}` }));

/** Every environment variable that is not an option and that the relay or one of its libraries reads, by subject. */
export const VARIABLE_GROUPS: readonly (readonly [about: string, variables: readonly VariableSpec[]])[] = [
  ["Upstream", [...STATSIG_VARIABLES, ...BLOB_STORAGE_VARIABLES, ...OUTBOUND]],
  ["Redis", REDIS_VARIABLES],
  ["Metrics", METRIC_VARIABLES],
  ["OpenTelemetry", OTLP_VARIABLES],
  ["Google Cloud Profiler", PROFILING_VARIABLES],
  ["The process", PROCESS],
  ["Without effect", WITHOUT_EFFECT],
];

/** The same variables as a list, each variant by its own name. */
export const VARIABLES: readonly VariableSpec[] = VARIABLE_GROUPS.flatMap(([, variables]) =>
  variables.flatMap((each) => [each, ...(each.variants ?? []).map((name) => ({ ...each, name }))]),
);
