import type { OptionSpec } from "./option-spec.ts";

/** The options of what operators look at, in the order of `--help`. */
export const MONITORING_OPTIONS = [
  {
    name: "management-port",
    kind: "integer",
    default: "8001",
    min: 0,
    max: 65_535,
    placeholder: "PORT",
    description: "Port of probes and metrics; 0 for none",
  },
  {
    name: "management-address",
    kind: "text",
    placeholder: "ADDRESS",
    description: "Address of the management port (Default: that of --bind-address)",
  },
  {
    name: "max-staleness-in-s",
    kind: "integer",
    default: "0",
    min: 0,
    max: 31_536_000,
    placeholder: "SECONDS",
    isLive: true,
    description:
      "Not ready while upstream has not confirmed what is held of most preloaded keys for so long; 0 for off",
  },
  {
    name: "statsd-logging",
    kind: "flag",
    description: "Send metrics to StatsD on 127.0.0.1:8125, or where STATSD_SOCKET and STATSD_…_OVERRIDE say",
  },
  {
    name: "datadog-logging",
    kind: "flag",
    description:
      "The same for Datadog's agent, with latencies as distributions; given both, nothing is sent twice",
  },
  {
    name: "statsig-logging",
    kind: "flag",
    description: "Send metrics as events to the Statsig project of STATSIG_SERVER_SDK_KEY",
  },
  {
    name: "statsig-logging-tags",
    kind: "text",
    isList: true,
    placeholder: "NAME:VALUE,...",
    description: "Metadata of each of these events",
  },
  {
    name: "otlp-logging",
    kind: "flag",
    description: "Send metrics by OTLP, to where the OTEL_EXPORTER_OTLP_… variables say",
  },
  {
    name: "otlp-tracing",
    kind: "flag",
    description: "Send traces by OTLP: polls, first requests for a key, backup, events",
  },
  {
    name: "log-format",
    kind: "text",
    default: "text",
    words: ["text", "json"],
    placeholder: "text|json",
    isLive: true,
    description: "Log lines for people, or JSON objects",
  },
  {
    name: "log-level",
    kind: "text",
    default: "info",
    words: ["debug", "info", "warn", "error"],
    placeholder: "LEVEL",
    isLive: true,
    description: "The least that is logged: debug, info, warn or error; --debug-logging is the same as debug",
  },
  {
    name: "metrics-max-series",
    kind: "integer",
    default: "1000",
    min: 300,
    max: 1_000_000,
    placeholder: "N",
    description: "Series of one metric; what is beyond counts as other",
  },
] as const satisfies readonly OptionSpec[];
