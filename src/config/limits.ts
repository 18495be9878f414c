import { readSdkKeyList, type SdkKey } from "../access/sdk-key.ts";
import type { OptionGroup } from "./option.ts";
import { ConfigError, invalidValue, type Settings } from "./settings.ts";
import { SPECS } from "./specs.ts";

/** Limits for one client and for all clients together. */
export interface LimitsConfig {
  /** Limit of each port. */
  readonly maxConnections: number;
  /** Whether the option was set, so that it is an error if the process cannot open as many. */
  readonly isMaxConnectionsGiven: boolean;
  readonly maxInFlight: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly maxUrlLength: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Limit of one HTTP/2 connection. */
  readonly maxStreamsPerConnection: number;
  readonly maxResetsPerMin: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  /** How long a client may leave unread what it was sent. */
  readonly unreadTimeoutMs: number;
}

/** Streams beyond the limit must reach the service, which rejects them with RESOURCE_EXHAUSTED. */
const SPARE_STREAMS = 100;

/** Throws {@link ConfigError}. */
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
    // Longer than the PING timeout: the operating system cannot tell a paused client from one that is gone.
    unreadTimeoutMs: 3 * settings.integer(LIMITS.http2KeepaliveTimeoutInS) * 1_000,
  };
}

/** Which clients are served. */
export interface AccessConfig {
  /** Undefined if every key is allowed. */
  readonly allowed: AllowedKeys | undefined;
  readonly unknownKeysPerS: number;
  readonly corsOrigins: CorsOrigins;
}

interface AllowedKeys {
  readonly keys: readonly SdkKey[];
  /** The file that lists the keys, which is watched. Undefined if the option lists them itself. */
  readonly path: string | undefined;
}

/** `any`, or origins as browsers write them, `https://host:port`. Empty if CORS is off. */
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
    throw new ConfigError(`${shown} lacks ${lacking} of the keys of ${preload}, which would not be served`);
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
    throw invalidValue(shown, text, "* or a comma-separated list of origins such as https://example.com");
  }
  return words;
}

const seconds = { kind: "integer", min: 1, placeholder: "SECONDS" } as const;

/** The options of access and limits, in the order of `--help`. */
export const LIMITS = {
  allowedSdkKeys: {
    name: "allowed-sdk-keys",
    kind: "text",
    isList: true,
    isSecret: true,
    placeholder: "KEYS|@FILE",
    isReloadable: true,
    description: "SDK keys to serve, comma-separated or @FILE; all others are rejected (Default: every key)",
  },
  unknownKeyRatePerS: {
    name: "unknown-key-rate-per-s",
    kind: "integer",
    default: "20",
    min: 1,
    max: 10_000,
    placeholder: "KEYS",
    isReloadable: true,
    description: "Unknown SDK keys accepted per second, after a burst of --maximum-concurrent-sdk-keys",
  },
  corsAllowedOrigins: {
    name: "cors-allowed-origins",
    kind: "text",
    isList: true,
    placeholder: "ORIGINS",
    description: "Origins of web pages that may read responses, comma-separated, or * (Default: none)",
  },
  maxConnections: {
    name: "max-connections",
    kind: "integer",
    default: "10000",
    min: 1,
    max: 1_000_000,
    placeholder: "CONNECTIONS",
    description: "Maximum open connections per port",
  },
  maxInFlight: {
    name: "max-in-flight",
    kind: "integer",
    default: "10000",
    min: 1,
    max: 1_000_000,
    placeholder: "REQUESTS",
    isReloadable: true,
    description: "Maximum concurrent requests; more get 503",
  },
  maxPayloadInMb: {
    name: "max-payload-in-mb",
    kind: "integer",
    default: "64",
    min: 1,
    max: 1024,
    placeholder: "MB",
    description:
      "Maximum size of a config spec in MB, compressed and decompressed, from upstream or a backup",
  },
  maxHeaderSizeInKb: {
    name: "max-header-size-in-kb",
    kind: "integer",
    default: "16",
    min: 1,
    max: 256,
    placeholder: "KB",
    description: "Maximum size of a request line and its headers in KB; larger get 431",
  },
  maxHeaderCount: {
    name: "max-header-count",
    kind: "integer",
    default: "100",
    min: 10,
    max: 190,
    placeholder: "HEADERS",
    description: "Maximum number of request headers; more get 431",
  },
  maxUrlLength: {
    name: "max-url-length",
    kind: "integer",
    default: "8000",
    min: 300,
    max: 100_000,
    placeholder: "CHARACTERS",
    description: "Maximum length of a request URL; longer get 414",
  },
  headerTimeoutInS: {
    name: "header-timeout-in-s",
    ...seconds,
    default: "10",
    max: 300,
    description: "Timeout of a TLS handshake, and of the headers of a request, in seconds",
  },
  bodyTimeoutInS: {
    name: "body-timeout-in-s",
    ...seconds,
    default: "30",
    max: 300,
    description: "Timeout for receiving a request body in seconds",
  },
  idleTimeoutInS: {
    name: "idle-timeout-in-s",
    ...seconds,
    default: "75",
    max: 3_600,
    description: "Idle timeout of a connection in seconds; should exceed that of your load balancer",
  },
  http2MaxConcurrentStreams: {
    name: "http2-max-concurrent-streams",
    kind: "integer",
    min: 1,
    max: 1_000_000,
    placeholder: "STREAMS",
    description: "Maximum concurrent streams per HTTP/2 connection (Default: -g plus 100)",
  },
  http2MaxResetsPerMin: {
    name: "http2-max-resets-per-min",
    kind: "integer",
    default: "1000",
    min: 1,
    max: 1_000_000,
    placeholder: "RESETS",
    description:
      "Maximum requests that a client may cancel per minute on one HTTP/2 connection; more close it",
  },
  http2KeepaliveTimeInS: {
    name: "http2-keepalive-time-in-s",
    ...seconds,
    default: "30",
    max: 3_600,
    description: "Interval of keep-alive PINGs on an HTTP/2 connection in seconds",
  },
  http2KeepaliveTimeoutInS: {
    name: "http2-keepalive-timeout-in-s",
    ...seconds,
    default: "20",
    max: 300,
    description:
      "Timeout of a PING reply in seconds; a client that reads nothing for three times as long is disconnected",
  },
} as const satisfies OptionGroup;
