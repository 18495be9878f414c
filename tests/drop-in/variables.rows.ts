import type { CommandRow } from "./options.rows.ts";

/** The variables of the original proxy that are read into its configuration, each with a value. */
const VARIABLES: Readonly<Record<string, string>> = {
  STATSIG_ENDPOINT: "http://upstream.example",
  LOG_EVENT_STATSIG_ENDPOINT: "http://events.example",
  LOG_EVENT_DEDUPE_CACHE_LIMIT: "7",
  STATSIG_SERVER_SDK_KEY: "secret-0123456789",
  STATSD_HOST_OVERRIDE: "192.168.0.1",
  STATSD_PORT_OVERRIDE: "1337",
  STATSD_SOCKET: "/tmp/statsig-uds-socket",
  DATADOG_MAX_BATCH_TIME_MS: "1000",
  DATADOG_MAX_BATCH_EVENT_COUNT: "100",
  DATADOG_SENDER_BUFFER_SIZE: "1000",
  DOGSTATSD_MAX_BUFFER_SIZE: "1800",
  DOGSTATSD_MAX_TIME_MS: "1000",
  DOGSTATSD_MAX_RETRY_ATTEMPT: "2",
  DOGSTATSD_INITIAL_RETRY_DELAY: "20",
  DD_ENV: "prod",
  DD_SERVICE: "proxy",
  DD_VERSION: "4.4.0",
  REDIS_ENTERPRISE_HOST: "redis.example",
  REDIS_ENTERPRISE_PORT: "6388",
  REDIS_ENTERPRISE_USER: "user",
  REDIS_ENTERPRISE_PASSWORD: "password",
  REDIS_TLS: "false",
  OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
};

const SECRET = new Set(["STATSIG_SERVER_SDK_KEY", "REDIS_ENTERPRISE_PASSWORD"]);

const shownAs = (name: string) => `# ${name}=${SECRET.has(name) ? "…" : VARIABLES[name]}`;

const spellings: readonly (readonly [form: string, spell: (name: string) => string])[] = [
  ["in upper case", (name) => name],
  ["in lower case", (name) => name.toLowerCase()],
];

const spelled = spellings.flatMap(([form, spell]) =>
  Object.entries(VARIABLES).map(([name, value]): CommandRow => {
    const env = { [spell(name)]: value };
    return { name, original: `is read ${form}`, ours: "same", env, outcome: { prints: shownAs(name) } };
  }),
);

const LIMIT = "LOG_EVENT_DEDUPE_CACHE_LIMIT";

export const VARIABLE_ROWS: readonly CommandRow[] = [
  ...spelled,
  {
    name: "HOSTNAME",
    original: "is read in upper case only",
    ours: "same",
    env: { HOSTNAME: "pod-7", hostname: "other" },
    outcome: { prints: "# HOSTNAME=pod-7" },
  },
  {
    name: "Log_Event_Dedupe_Cache_Limit",
    original: "is read in mixed case",
    ours: "same",
    env: { Log_Event_Dedupe_Cache_Limit: "5" },
    outcome: { prints: `# ${LIMIT}=5` },
  },
  {
    name: `${LIMIT} in two spellings`,
    original: "ends at the start",
    ours: { does: "takes the name in upper case", subject: "a variable in two spellings" },
    env: { [LIMIT]: "3", [LIMIT.toLowerCase()]: "4" },
    outcome: { prints: `# ${LIMIT}=3` },
  },
  {
    name: `${LIMIT}=0`,
    original: "no deduplication",
    ours: "same",
    env: { [LIMIT]: "0" },
    outcome: { prints: `# ${LIMIT}=0` },
  },
  {
    name: `${LIMIT}=18446744073709551615`,
    original: "no limit",
    ours: { does: "takes 50000000", subject: "numbers out of range" },
    env: { [LIMIT]: "18446744073709551615" },
    outcome: { prints: `# ${LIMIT}=50000000` },
  },
  {
    name: `${LIMIT}=many`,
    original: "ends at the start",
    ours: "same",
    env: { [LIMIT]: "many" },
    outcome: { refuses: `invalid value "many" for ${LIMIT}` },
  },
  {
    name: `${LIMIT} is empty`,
    original: "ends at the start",
    ours: { does: "takes the default", subject: "empty variables" },
    env: { [LIMIT]: "" },
    outcome: { prints: "mode: http" },
  },
  {
    name: "STATSIG_ENDPOINT is empty",
    original: "asks an empty URL",
    ours: { does: "asks Statsig", subject: "empty variables" },
    env: { STATSIG_ENDPOINT: "" },
    outcome: { prints: "mode: http" },
  },
  {
    name: "STATSIG_ENDPOINT=api.example.com",
    original: "starts and can fetch nothing",
    ours: { does: "exit code 2", subject: "URLs in variables" },
    env: { STATSIG_ENDPOINT: "api.example.com" },
    outcome: { refuses: 'invalid value "api.example.com" for STATSIG_ENDPOINT' },
  },
  {
    name: "STATSIG_ENDPOINT with the path of an endpoint",
    original: "starts and can fetch nothing",
    ours: { does: "exit code 2", subject: "URLs in variables" },
    env: { STATSIG_ENDPOINT: "https://api.example.com/v1/download_config_specs" },
    outcome: { refuses: "did you mean https://api.example.com?" },
  },
  {
    name: "a folder of a gateway in LOG_EVENT_STATSIG_ENDPOINT",
    original: "is taken",
    ours: "same",
    env: { LOG_EVENT_STATSIG_ENDPOINT: "https://gateway.example/log_event" },
    outcome: { prints: "# LOG_EVENT_STATSIG_ENDPOINT=https://gateway.example/log_event" },
  },
  ...["ALL_PROXY", "https_proxy"].map(
    (name): CommandRow => ({
      name: `${name}=socks5://proxy.example:1080`,
      original: "starts",
      ours: "same",
      env: { [name]: "socks5://proxy.example:1080" },
      outcome: { prints: "mode: http" },
    }),
  ),
  {
    name: "STATSIG_SERVER_SDK_KEY=your_key",
    original: "ends at the start with --statsig-logging, since Statsig does not know the key",
    ours: "same",
    options: ["--statsig-logging"],
    env: { STATSIG_SERVER_SDK_KEY: "your_key" },
    outcome: { refuses: "STATSIG_SERVER_SDK_KEY" },
  },
];
