import { REDIS_VARIABLES } from "./cache.ts";
import { METRIC_VARIABLES } from "./monitoring.ts";
import type { VariableSpec } from "./option.ts";
import { OTLP_VARIABLES } from "./otlp.ts";

const UPSTREAM: readonly VariableSpec[] = [
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
  { name: "ALL_PROXY", description: "The way to any upstream, where neither says otherwise" },
  { name: "NO_PROXY", description: "Hosts that are reached without a proxy: a comma list" },
  { name: "NODE_EXTRA_CA_CERTS", description: "A PEM file of further certificate authorities for upstream" },
];

const PROCESS: readonly VariableSpec[] = [
  {
    name: "SFP_X509_SERVER_KEY_PASSPHRASE",
    isSecret: true,
    description: "Of the private key, where that is encrypted",
  },
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
  {
    name: "STATE_DIRECTORY",
    description: "As systemd sets it: the folder of the local backup, where --local-cache-path gives none",
  },
  {
    name: "XDG_STATE_HOME",
    default: "~/.local/state",
    description: "Without that one the folder of the local backup is statsig-forward-proxy in here",
  },
];

/** Every variable that is no option and that the relay, or a library in it, reads; by what they are about. */
export const VARIABLE_GROUPS: readonly (readonly [about: string, variables: readonly VariableSpec[]])[] = [
  ["Upstream", UPSTREAM],
  ["Redis", REDIS_VARIABLES],
  ["Metrics", METRIC_VARIABLES],
  ["OpenTelemetry", OTLP_VARIABLES],
  ["The process", PROCESS],
];

/** As above, each by its own name. */
export const VARIABLES: readonly VariableSpec[] = VARIABLE_GROUPS.flatMap(([, variables]) =>
  variables.flatMap((each) => [each, ...(each.variants ?? []).map((name) => ({ ...each, name }))]),
);
