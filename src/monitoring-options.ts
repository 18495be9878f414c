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
    description:
      "Not ready while upstream has not confirmed what is held of preloaded keys for so long; 0 for off",
  },
  {
    name: "log-format",
    kind: "text",
    default: "text",
    placeholder: "text|json",
    description: "Log lines for people, or JSON objects",
  },
  {
    name: "log-level",
    kind: "text",
    default: "info",
    placeholder: "LEVEL",
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
