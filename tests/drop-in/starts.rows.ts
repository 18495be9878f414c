import type { DropInRow } from "../support/drop-in/row.ts";

type Protocol = "http" | "https" | "grpc" | "grpcs";

/** A command line that starts, or is refused with exit code 1. `{cert}`, `{key}`, `{ca}`, `{redis}` and `{upstream}` stand for what the test sets up. */
export type StartRow = DropInRow & {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
} & (
    | {
        /** Exactly the open ports. Each serves a config spec. */
        readonly ports: readonly Protocol[];
        /** Over TLS, clients without a certificate. */
        readonly withoutCertificate?: "served" | "rejected";
        /** Over TLS, clients with a certificate of another CA. */
        readonly withStrangeCertificate?: "served" | "rejected";
        readonly logs?: readonly string[];
        readonly logsNot?: string;
      }
    | { readonly refuses: string }
  );

const differs = (subject: string, does: string) => ({ does, subject });

const PAIR = ["--x509-server-cert-path", "{cert}", "--x509-server-key-path", "{key}"];
const FILES = [...PAIR, "--x509-client-cert-path", "{ca}"];
const ALL = ["grpc", "grpcs", "http", "https"] as const;
const TLS_ONLY = ["grpcs", "https"] as const;
const WARNING = "plaintext ports open beside TLS: --enforce-tls is not set";

/** Command lines of its README, its scripts, its chart and its pages on TLS and monitoring. */
const EXAMPLES: readonly StartRow[] = [
  {
    name: "an example of its README",
    original: "serves HTTP",
    ours: "same",
    argv: [
      ...["http", "disabled", "--polling-interval-in-s", "15", "--max-in-flight", "16"],
      "--clear-datastore-on-unauthorized",
    ],
    env: { STATSIG_SERVER_SDK_KEY: "secret-server-key" },
    ports: ["http"],
    logs: ["polling_interval_s=15"],
  },
  {
    name: "STATSIG_SERVER_SDK_KEY alone, with a key that upstream rejects",
    original: "ends at the start",
    ours: differs("`STATSIG_SERVER_SDK_KEY` without `--statsig-logging`", "serves HTTP"),
    argv: ["http", "disabled"],
    env: { STATSIG_SERVER_SDK_KEY: "secret-server-key" },
    ports: ["http"],
    logs: ["upstream rejected SDK key"],
    logsNot: "has no effect",
  },
  {
    name: "the arguments of its chart",
    original: "serves HTTP",
    ours: "same",
    argv: ["http", "disabled"],
    ports: ["http"],
  },
  {
    name: "its script for a local start",
    original: "serves HTTP, with Redis and debug logs",
    ours: "same",
    argv: ["http", "redis", "--debug-logging", "--datadog-logging"],
    env: { REDIS_TLS: "false", REDIS_ENTERPRISE_HOST: "127.0.0.1", REDIS_ENTERPRISE_PORT: "{redis}" },
    ports: ["http"],
    logs: ["redis=127.0.0.1:{redis}"],
    logsNot: "Redis unavailable",
  },
  {
    name: "the same with variables in lower case",
    original: "serves HTTP, with Redis",
    ours: "same",
    argv: ["http", "redis"],
    env: {
      statsig_endpoint: "{upstream}",
      redis_tls: "false",
      redis_enterprise_host: "127.0.0.1",
      redis_enterprise_port: "{redis}",
    },
    ports: ["http"],
    logs: ["redis=127.0.0.1:{redis}"],
    logsNot: "Redis unavailable",
  },
  {
    name: "an example of 1.x",
    original: "serves HTTP, with a copy in memory",
    ours: differs("CACHE `local`", "keeps the copy in SQLite"),
    argv: ["http", "local", "--debug-logging"],
    ports: ["http"],
    logs: ["local_cache_path="],
  },
  {
    name: "only gRPC",
    original: "serves gRPC",
    ours: "same",
    argv: ["grpc", "disabled"],
    ports: ["grpc"],
  },
  {
    name: "the example of its page on TLS without certificates",
    original: "serves HTTP and gRPC",
    ours: "same",
    argv: ["grpc-and-http", "redis"],
    env: { REDIS_ENTERPRISE_HOST: "127.0.0.1", REDIS_ENTERPRISE_PORT: "{redis}" },
    ports: ["grpc", "http"],
    logsNot: WARNING,
  },
];

const TLS: readonly StartRow[] = [
  {
    name: "three files",
    original: "the plaintext ports stay open",
    ours: "same",
    argv: ["grpc-and-http", "disabled", ...FILES],
    ports: ALL,
    withoutCertificate: "served",
    withStrangeCertificate: "rejected",
    logs: [`${WARNING} ports=http,grpc`],
  },
  {
    name: "three files and --enforce-tls",
    original: "the plaintext ports are closed",
    ours: "same",
    argv: ["grpc-and-http", "disabled", ...FILES, "--enforce-tls"],
    ports: TLS_ONLY,
    logsNot: WARNING,
  },
  {
    name: "--enforce-tls before MODE",
    original: "is a bare flag",
    ours: "same",
    argv: ["--enforce-tls", "http", "disabled", ...FILES],
    ports: ["https"],
  },
  {
    name: "--enforce-tls true before MODE",
    original: "takes a value (3.x)",
    ours: "same",
    argv: ["--enforce-tls", "true", "http", "disabled", ...FILES],
    ports: ["https"],
  },
  {
    name: "--enforce-tls=true",
    original: "takes a value (3.x)",
    ours: "same",
    argv: ["grpc", "disabled", "--enforce-tls=true", ...FILES],
    ports: ["grpcs"],
  },
  {
    name: "--enforce-tls false",
    original: "takes a value (3.x)",
    ours: "same",
    argv: ["grpc-and-http", "disabled", "--enforce-tls", "false", ...FILES],
    ports: ALL,
    logsNot: WARNING,
  },
  {
    name: "three files, without --enforce-tls, in 3.x",
    original: "the plaintext ports are closed",
    ours: differs("`--enforce-tls` of 3.x", "keeps them open, and warns"),
    argv: ["http", "disabled", ...FILES],
    ports: ["http", "https"],
    logs: [WARNING],
  },
  {
    name: "a certificate without a CA for clients",
    original: "no HTTPS",
    ours: differs("TLS without `--x509-client-cert-path`", "serves HTTPS as well"),
    argv: ["grpc-and-http", "disabled", ...PAIR],
    ports: ALL,
    withStrangeCertificate: "served",
  },
  {
    name: "a certificate without a CA for clients, and --enforce-tls",
    original: "HTTP stays in plaintext",
    ours: differs("TLS without `--x509-client-cert-path`", "closes the port"),
    argv: ["grpc-and-http", "disabled", ...PAIR, "--enforce-tls"],
    ports: TLS_ONLY,
  },
  {
    name: "--enforce-mtls",
    original: "rejects clients without a certificate, over gRPC only",
    ours: differs("`--enforce-mtls` over HTTP", "rejects them over HTTPS as well"),
    argv: ["grpc-and-http", "disabled", ...FILES, "--enforce-tls", "--enforce-mtls"],
    ports: TLS_ONLY,
    withoutCertificate: "rejected",
    withStrangeCertificate: "rejected",
  },
  ...(["on", "optional", "off"] as const).map(
    (word): StartRow => ({
      name: `--ssl-verify-client ${word}`,
      original: "is documented, and ends with exit code 2",
      ours: differs("`--ssl-verify-client`", "does what is documented"),
      argv: ["grpc-and-http", "disabled", ...FILES, "--enforce-tls", "--ssl-verify-client", word],
      ports: TLS_ONLY,
      withoutCertificate: word === "on" ? "rejected" : "served",
      withStrangeCertificate: word === "off" ? "served" : "rejected",
    }),
  ),
];

const refused = (name: string, argv: readonly string[], subject: string, refuses: string): StartRow => ({
  name,
  original: "serves plaintext",
  ours: differs(subject, "exit code 1"),
  argv: ["grpc-and-http", "disabled", ...argv],
  refuses,
});

const REFUSED: readonly StartRow[] = [
  refused(
    "--enforce-tls alone",
    ["--enforce-tls"],
    "`--enforce-tls` without certificate files",
    "--enforce-tls requires --x509-server-cert-path",
  ),
  refused(
    "a certificate alone",
    PAIR.slice(0, 2),
    "a certificate without its key",
    "--x509-server-cert-path requires --x509-server-key-path",
  ),
  refused(
    "a key alone",
    PAIR.slice(2),
    "a certificate without its key",
    "--x509-server-key-path requires --x509-server-cert-path",
  ),
  refused(
    "a CA for clients alone",
    FILES.slice(4),
    "a certificate without its key",
    "--x509-client-cert-path requires --x509-server-cert-path",
  ),
  {
    ...refused(
      "a certificate file that is missing",
      ["--x509-server-cert-path", "{cert}.missing", ...PAIR.slice(2)],
      "certificate files that cannot be read",
      "no such file",
    ),
    original: "continues without gRPC",
  },
];

/** Variables that configure what the relay does not have, with values that stop the original. */
const IGNORED: Readonly<Record<string, string>> = {
  PROXY_CACHE_PATH_CONFIGURATION: "/no/such/folder",
  PROXY_CACHE_DOWNLOAD_PATH_CONFIGURATION: "/no/such/folder",
  PROXY_CACHE_DOWNLOAD_ID_LIST_PATH_CONFIGURATION: "/no/such/folder",
  PROXY_CACHE_MAX_SIZE_IN_MB: "many",
  PROXY_CACHE_TTL: "5",
  PROXY_CACHE_CLEANUP_MAX_DURATION_MS: "200",
  PROXY_CACHE_CLEANUP_SLEEP_INTERVAL_MS: "50",
  PROXY_CACHE_CLEANUP_MAX_FILES_DELETED_PER_INTERVAL: "100",
  NGINX_WORKER_PROCESSES: "0",
  NGINX_HTTPS_PORT: "4443",
  NGINX_SSL_CERT_PATH: "/no/such/file",
  TOKIO_WORKER_THREADS_BACKGROUND: "0",
  tokio_worker_threads_background: "x",
  ROCKET_ENV: "prod",
  ROCKET_PORT: "1",
  ROCKET_LIMITS: "{",
};

/** What configures the metrics of 1.x. Later versions do not read it. */
const IGNORED_OF_1: Readonly<Record<string, string>> = {
  DATADOG_SAMPLING_RATE: "10",
  DATADOG_MAX_BACKOFF_MS: "1000",
  DOGSTATSD_CLIENT_INITIALIZATION_RETRY_DELAY: "100",
  DOGSTATSD_CLIENT_INITIALIZATION_MAX_RETRY_ATTEMPT: "3",
};

const IGNORED_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  deltas: ["--deltas-background-loop-sleep-time-in-s=5"],
};

/** All are given to one start. */
export const IGNORED_START: Pick<StartRow, "argv" | "env"> = {
  argv: ["http", "disabled", ...Object.values(IGNORED_OPTIONS).flat()],
  env: { ...IGNORED, ...IGNORED_OF_1 },
};

export const IGNORED_ROWS: readonly (DropInRow & { readonly setting: string })[] = [
  ...Object.entries(IGNORED).map(([setting, value]) => ({
    name: `${setting}=${value}`,
    original: "configures nginx, Rocket or Tokio",
    ours: differs("variables of nginx, Rocket and Tokio", "says that it has no effect"),
    setting,
  })),
  ...Object.entries(IGNORED_OF_1).map(([setting, value]) => ({
    name: `${setting}=${value}`,
    original: "configures the metrics of 1.x",
    ours: differs("variables of the metrics of 1.x", "says that it has no effect"),
    setting,
  })),
  ...Object.entries(IGNORED_OPTIONS).flatMap(([subject, options]) =>
    options.map((option) => ({
      name: option,
      original: "takes it",
      ours: differs(subject, "says that it has no effect"),
      setting: option.replace(/=.*/, ""),
    })),
  ),
];

export const START_ROWS: readonly StartRow[] = [...EXAMPLES, ...TLS, ...REFUSED];
