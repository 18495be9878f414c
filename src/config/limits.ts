import { readSdkKeyList, type SdkKey } from "../access/sdk-key.ts";
import type { OptionSpec } from "./option.ts";
import { ConfigError, type Settings } from "./settings.ts";

/** What one client, or all together, may use up. */
export interface LimitsConfig {
  /** On each port. */
  readonly maxConnections: number;
  /** Whether somebody asked for so many. */
  readonly isMaxConnectionsGiven: boolean;
  readonly maxInFlight: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly maxUrlLength: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Of one HTTP/2 connection. */
  readonly maxStreamsPerConnection: number;
  readonly maxResetsPerMin: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  /** How long a client may read nothing of what it was sent. */
  readonly unreadTimeoutMs: number;
}

/** Streams beyond the admitted ones must reach the service, which answers them RESOURCE_EXHAUSTED. */
const SPARE_STREAMS = 100;

/** Throws ConfigError. */
export function readLimits(settings: Settings, maxStreams: number): LimitsConfig {
  return {
    maxConnections: settings.integer("max-connections"),
    isMaxConnectionsGiven: settings.isGiven("max-connections"),
    maxInFlight: settings.integer("max-in-flight"),
    maxHeaderBytes: settings.integer("max-header-size-in-kb") * 1024,
    maxHeaders: settings.integer("max-header-count"),
    maxUrlLength: settings.integer("max-url-length"),
    headerTimeoutMs: settings.integer("header-timeout-in-s") * 1_000,
    bodyTimeoutMs: settings.integer("body-timeout-in-s") * 1_000,
    idleTimeoutMs: settings.integer("idle-timeout-in-s") * 1_000,
    maxStreamsPerConnection: settings.isGiven("http2-max-concurrent-streams")
      ? settings.integer("http2-max-concurrent-streams")
      : maxStreams + SPARE_STREAMS,
    maxResetsPerMin: settings.integer("http2-max-resets-per-min"),
    keepaliveTimeMs: settings.integer("http2-keepalive-time-in-s") * 1_000,
    keepaliveTimeoutMs: settings.integer("http2-keepalive-timeout-in-s") * 1_000,
    // Longer: to the system, a client that is paused looks like one that is gone.
    unreadTimeoutMs: 3 * settings.integer("http2-keepalive-timeout-in-s") * 1_000,
  };
}

const seconds = { kind: "integer", min: 1, placeholder: "SECONDS" } as const;

/** The options of who may ask and how much, in the order of `--help`. */
export const LIMIT_OPTIONS = [
  {
    name: "allowed-sdk-keys",
    kind: "text",
    isList: true,
    isSecret: true,
    placeholder: "KEYS|@FILE",
    isLive: true,
    description: "SDK keys that are served, no others: a comma list, or a file by @path",
  },
  {
    name: "unknown-key-rate-per-s",
    kind: "integer",
    default: "20",
    min: 1,
    max: 10_000,
    placeholder: "KEYS",
    isLive: true,
    description: "SDK keys never seen before that may be asked for; as many as may be held can come at once",
  },
  {
    name: "cors-allowed-origins",
    kind: "text",
    isList: true,
    placeholder: "ORIGINS",
    description: "Origins of web pages that may read answers: a comma list, or * (Default: none)",
  },
  {
    name: "max-connections",
    kind: "integer",
    default: "10000",
    min: 1,
    max: 1_000_000,
    placeholder: "CONNECTIONS",
    description: "Open connections, on each port",
  },
  {
    name: "max-in-flight",
    kind: "integer",
    default: "10000",
    min: 1,
    max: 1_000_000,
    placeholder: "REQUESTS",
    isLive: true,
    description: "Requests being worked on at once; beyond, 503",
  },
  {
    name: "max-payload-in-mb",
    kind: "integer",
    default: "64",
    min: 1,
    max: 1024,
    placeholder: "MB",
    description: "The largest config spec that is taken, as sent and decoded, from upstream or a backup",
  },
  {
    name: "max-header-size-in-kb",
    kind: "integer",
    default: "16",
    min: 1,
    max: 256,
    placeholder: "KB",
    description: "Size of a request's headers, its first line included; beyond, 431",
  },
  {
    name: "max-header-count",
    kind: "integer",
    default: "100",
    min: 10,
    max: 190,
    placeholder: "HEADERS",
    description: "Headers of a request; beyond, 431",
  },
  {
    name: "max-url-length",
    kind: "integer",
    default: "8000",
    min: 300,
    max: 100_000,
    placeholder: "CHARACTERS",
    description: "Length of a request's URL; beyond, 414",
  },
  {
    name: "header-timeout-in-s",
    ...seconds,
    default: "10",
    max: 300,
    description: "How long a TLS handshake, and then a request's headers, may take",
  },
  {
    name: "body-timeout-in-s",
    ...seconds,
    default: "30",
    max: 300,
    description: "How long a request's body may take",
  },
  {
    name: "idle-timeout-in-s",
    ...seconds,
    default: "75",
    max: 3_600,
    description:
      "How long a connection without a request may wait for its next; longer than what load balancers keep",
  },
  {
    name: "http2-max-concurrent-streams",
    kind: "integer",
    min: 1,
    max: 1_000_000,
    placeholder: "STREAMS",
    description: "Requests at once on one HTTP/2 connection (Default: 100 more than -g)",
  },
  {
    name: "http2-max-resets-per-min",
    kind: "integer",
    default: "1000",
    min: 1,
    max: 1_000_000,
    placeholder: "RESETS",
    description:
      "Requests that may be cancelled at once, before their answer, on one HTTP/2 connection; beyond, it is closed",
  },
  {
    name: "http2-keepalive-time-in-s",
    ...seconds,
    default: "30",
    max: 3_600,
    description: "How often a PING asks whether the client of an HTTP/2 connection is still there",
  },
  {
    name: "http2-keepalive-timeout-in-s",
    ...seconds,
    default: "20",
    max: 300,
    description:
      "How long a client may take to answer a PING; three times as long it may read nothing; beyond, it is cut off",
  },
] as const satisfies readonly OptionSpec[];

/** Who may ask. */
export interface AccessConfig {
  /** Undefined where any key may ask. */
  readonly allowed: AllowedKeys | undefined;
  readonly unknownKeysPerS: number;
  readonly corsOrigins: CorsOrigins;
}

interface AllowedKeys {
  readonly keys: readonly SdkKey[];
  /** The file that they stand in, which may change; undefined where they were given as they are. */
  readonly path: string | undefined;
}

/** `any`, or origins as browsers write them: `https://host:port`; none where CORS is off. */
type CorsOrigins = "any" | readonly string[];

/** Throws {@link ConfigError}. */
export function readAccess(settings: Settings, preloaded: readonly SdkKey[]): AccessConfig {
  return {
    allowed: readAllowed(settings, preloaded),
    unknownKeysPerS: settings.integer("unknown-key-rate-per-s"),
    corsOrigins: readCorsOrigins(settings),
  };
}

function readAllowed(settings: Settings, preloaded: readonly SdkKey[]): AllowedKeys | undefined {
  const shown = settings.shown("allowed-sdk-keys");
  const text = settings.text("allowed-sdk-keys");
  if (text === "") return undefined;
  const keys = readSdkKeyList(text, (problem) => {
    throw new ConfigError(`${shown}: ${problem}`);
  });
  const lacking = preloaded.filter((key) => !keys.includes(key)).length;
  if (lacking > 0) {
    const preload = settings.shown("preload-sdk-keys");
    throw new ConfigError(`${shown} lacks ${lacking} of the keys of ${preload}: they would not be served`);
  }
  return { keys, path: text.startsWith("@") ? text.slice(1) : undefined };
}

function readCorsOrigins(settings: Settings): CorsOrigins {
  const text = settings.text("cors-allowed-origins");
  if (text === "*") return "any";
  const origins = text.split(",").map((word) => word.trim());
  const words = origins.filter((word) => word !== "");
  for (const word of words) {
    if (URL.parse(word)?.origin === word) continue;
    const shown = settings.shown("cors-allowed-origins");
    throw new ConfigError(`${shown} is "${text}", allowed is * or a comma list like https://example.com`);
  }
  return words;
}
