import type { OptionSpec } from "./option-spec.ts";

/** The options of what stands behind CACHE, in the order of `--help`. Names and defaults of the original proxy must stay. */
export const CACHE_OPTIONS = [
  {
    name: "local-cache-path",
    kind: "text",
    placeholder: "FOLDER",
    description: "Folder of the local backup (Default: under XDG_STATE_HOME, or systemd's state directory)",
  },
  {
    name: "local-cache-max-in-mb",
    kind: "integer",
    default: "1024",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Size of the local backup; beyond, what was not used for longest goes",
  },
  {
    name: "redis-leader-key-ttl",
    short: "r",
    kind: "integer",
    default: "70",
    min: 1,
    max: 86_400,
    placeholder: "SECONDS",
    description:
      "How long original relays on the same Redis do not write after this relay last renewed their leader key",
  },
  {
    name: "redis-cache-ttl-in-s",
    kind: "integer",
    default: "86400",
    min: 1,
    max: 31_536_000,
    placeholder: "SECONDS",
    description: "How long Redis keeps config specs that no relay holds any more",
  },
  {
    name: "redis-key-schema",
    kind: "text",
    default: "v3",
    isList: true,
    words: ["v1", "v3", "v4"],
    placeholder: "v1,v3,v4",
    description: "Forms of the Redis keys to write, of which the first is read",
  },
  {
    name: "double-write-cache-for-legacy-key",
    kind: "flag",
    description: "Write the Redis keys of 1.x as well",
  },
  {
    name: "redis-connection-timeout-in-s",
    kind: "integer",
    default: "5",
    min: 1,
    max: 300,
    placeholder: "SECONDS",
    description: "How long a connection to Redis may take to be made",
  },
  {
    name: "fleet-polling",
    kind: "flag",
    description: "Of all relays that share a Redis, have one ask upstream for each key and interval",
  },
] as const satisfies readonly OptionSpec[];
