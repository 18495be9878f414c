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
] as const satisfies readonly OptionSpec[];
