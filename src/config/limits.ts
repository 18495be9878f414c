import { readSdkKeyList, type SdkKey } from "../access/sdk-key.ts";
import type { OptionGroup } from "./option.ts";
import { ConfigError, type Settings } from "./settings.ts";
import { SPECS } from "./specs.ts";

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
    maxConnections: settings.integer(LIMITS.maxConnections),
    isMaxConnectionsGiven: settings.isGiven(LIMITS.maxConnections),
    maxInFlight: settings.integer(LIMITS.maxInFlight),
    maxHeaderBytes: settings.integer(LIMITS.maxHeaderSizeInKb) * 1024,
    maxHeaders: settings.integer(LIMITS.maxHeaderCount),
    maxUrlLength: settings.integer(LIMITS.maxUrlLength),
    headerTimeoutMs: settings.integer(LIMITS.headerTimeoutInS) * 1_000,
    bodyTimeoutMs: settings.integer(LIMITS.bodyTimeoutInS) * 1_000,
    idleTimeoutMs: settings.integer(LIMITS.idleTimeoutInS) * 1_000,
    maxStreamsPerConnection: settings.isGiven(LIMITS.http2MaxConcurrentStreams)
      ? settings.integer(LIMITS.http2MaxConcurrentStreams)
      : maxStreams + SPARE_STREAMS,
    maxResetsPerMin: settings.integer(LIMITS.http2MaxResetsPerMin),
    keepaliveTimeMs: settings.integer(LIMITS.http2KeepaliveTimeInS) * 1_000,
    keepaliveTimeoutMs: settings.integer(LIMITS.http2KeepaliveTimeoutInS) * 1_000,
    // Longer: to the system, a client that is paused looks like one that is gone.
    unreadTimeoutMs: 3 * settings.integer(LIMITS.http2KeepaliveTimeoutInS) * 1_000,
  };
}

const seconds = { kind: "integer", min: 1, placeholder: "SECONDS" } as const;

/** The options of who may ask and how much, in the order of `--help`. */
export const LIMITS = {
  allowedSdkKeys: {
    name: "allowed-sdk-keys",
    kind: "text",
    isList: true,
    isSecret: true,
    placeholder: "KEYS|@FILE",
    isReloadable: true,
    description: "SDK keys that are served, no others: a comma list, or a file by @path",
  },
  unknownKeyRatePerS: {
    name: "unknown-key-rate-per-s",
    kind: "integer",
    default: "20",
    min: 1,
    max: 10_000,
    placeholder: "KEYS",
    isReloadable: true,
    description: "SDK keys never seen before that may be asked for; as many as may be held can come at once",
  },
  corsAllowedOrigins: {
    name: "cors-allowed-origins",
    kind: "text",
    isList: true,
    placeholder: "ORIGINS",
    description: "Origins of web pages that may read answers: a comma list, or * (Default: none)",
  },
  maxConnections: {
    name: "max-connections",
    kind: "integer",
    default: "10000",
    min: 1,
    max: 1_000_000,
    placeholder: "CONNECTIONS",
    description: "Open connections, on each port",
  },
  maxInFlight: {
    name: "max-in-flight",
    kind: "integer",
    default: "10000",
    min: 1,
    max: 1_000_000,
    placeholder: "REQUESTS",
    isReloadable: true,
    description: "Requests being worked on at once; beyond, 503",
  },
  maxPayloadInMb: {
    name: "max-payload-in-mb",
    kind: "integer",
    default: "64",
    min: 1,
    max: 1024,
    placeholder: "MB",
    description: "The largest config spec that is taken, as sent and decoded, from upstream or a backup",
  },
  maxHeaderSizeInKb: {
    name: "max-header-size-in-kb",
    kind: "integer",
    default: "16",
    min: 1,
    max: 256,
    placeholder: "KB",
    description: "Size of a request's headers, its first line included; beyond, 431",
  },
  maxHeaderCount: {
    name: "max-header-count",
    kind: "integer",
    default: "100",
    min: 10,
    max: 190,
    placeholder: "HEADERS",
    description: "Headers of a request; beyond, 431",
  },
  maxUrlLength: {
    name: "max-url-length",
    kind: "integer",
    default: "8000",
    min: 300,
    max: 100_000,
    placeholder: "CHARACTERS",
    description: "Length of a request's URL; beyond, 414",
  },
  headerTimeoutInS: {
    name: "header-timeout-in-s",
    ...seconds,
    default: "10",
    max: 300,
    description: "How long a TLS handshake, and then a request's headers, may take",
  },
  bodyTimeoutInS: {
    name: "body-timeout-in-s",
    ...seconds,
    default: "30",
    max: 300,
    description: "How long a request's body may take",
  },
  idleTimeoutInS: {
    name: "idle-timeout-in-s",
    ...seconds,
    default: "75",
    max: 3_600,
    description:
      "How long a connection without a request may wait for its next; longer than what load balancers keep",
  },
  http2MaxConcurrentStreams: {
    name: "http2-max-concurrent-streams",
    kind: "integer",
    min: 1,
    max: 1_000_000,
    placeholder: "STREAMS",
    description: "Requests at once on one HTTP/2 connection (Default: 100 more than -g)",
  },
  http2MaxResetsPerMin: {
    name: "http2-max-resets-per-min",
    kind: "integer",
    default: "1000",
    min: 1,
    max: 1_000_000,
    placeholder: "RESETS",
    description:
      "Requests that may be cancelled at once, before their answer, on one HTTP/2 connection; beyond, it is closed",
  },
  http2KeepaliveTimeInS: {
    name: "http2-keepalive-time-in-s",
    ...seconds,
    default: "30",
    max: 3_600,
    description: "How often a PING asks whether the client of an HTTP/2 connection is still there",
  },
  http2KeepaliveTimeoutInS: {
    name: "http2-keepalive-timeout-in-s",
    ...seconds,
    default: "20",
    max: 300,
    description:
      "How long a client may take to answer a PING; three times as long it may read nothing; beyond, it is cut off",
  },
} as const satisfies OptionGroup;

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
    unknownKeysPerS: settings.integer(LIMITS.unknownKeyRatePerS),
    corsOrigins: readCorsOrigins(settings),
  };
}

function readAllowed(settings: Settings, preloaded: readonly SdkKey[]): AllowedKeys | undefined {
  const shown = settings.shown(LIMITS.allowedSdkKeys);
  const text = settings.text(LIMITS.allowedSdkKeys);
  if (text === "") return undefined;
  const keys = readSdkKeyList(text, (problem) => {
    throw new ConfigError(`${shown}: ${problem}`);
  });
  const lacking = preloaded.filter((key) => !keys.includes(key)).length;
  if (lacking > 0) {
    const preload = settings.shown(SPECS.preloadSdkKeys);
    throw new ConfigError(`${shown} lacks ${lacking} of the keys of ${preload}: they would not be served`);
  }
  return { keys, path: text.startsWith("@") ? text.slice(1) : undefined };
}

function readCorsOrigins(settings: Settings): CorsOrigins {
  const text = settings.text(LIMITS.corsAllowedOrigins);
  if (text === "*") return "any";
  const origins = text.split(",").map((word) => word.trim());
  const words = origins.filter((word) => word !== "");
  for (const word of words) {
    if (URL.parse(word)?.origin === word) continue;
    const shown = settings.shown(LIMITS.corsAllowedOrigins);
    throw new ConfigError(`${shown} is "${text}", allowed is * or a comma list like https://example.com`);
  }
  return words;
}
