import type { ConnectionAge } from "../../server/connection-age.ts";
import type { OptionGroup } from "../option.ts";
import type { Settings } from "../settings.ts";

/** Limits for one client and for all clients together. */
export interface LimitsConfig {
  /** Limit of each port. */
  readonly maxConnections: number;
  /** If the option was set, lowering it for lack of file descriptors is always logged, else only if few connections remain. */
  readonly isMaxConnectionsGiven: boolean;
  readonly maxConcurrentRequests: number;
  /** Limit of a message with a config spec that gRPC clients get. */
  readonly maxGrpcMessageBytes: number;
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
  /** It applies to connections to the gRPC ports. */
  readonly connectionAge: ConnectionAge;
}

/** Streams beyond the limit must reach the service, which rejects them with RESOURCE_EXHAUSTED. */
const SPARE_STREAMS = 100;

/** Throws ConfigError. */
export function readLimits(settings: Settings, maxStreams: number): LimitsConfig {
  return {
    maxConnections: settings.integer(LIMITS.maxConnections),
    isMaxConnectionsGiven: settings.isGiven(LIMITS.maxConnections),
    maxConcurrentRequests: settings.integer(LIMITS.maxConcurrentRequests),
    maxGrpcMessageBytes: settings.integer(LIMITS.grpcMaxMessageSizeInMb) * 1024 * 1024,
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
    // Longer than the PING timeout: the operating system cannot distinguish a paused client from one that is gone.
    unreadTimeoutMs: 3 * settings.integer(LIMITS.http2KeepaliveTimeoutInS) * 1_000,
    connectionAge: {
      maxAgeMs: settings.integer(LIMITS.grpcMaxConnectionAgeInS) * 1_000,
      graceMs: settings.integer(LIMITS.grpcMaxConnectionAgeGraceInS) * 1_000,
    },
  };
}

const seconds = { kind: "integer", min: 1, placeholder: "SECONDS" } as const;

/** The options of limits, in the order of `--help`. */
export const LIMITS = {
  maxConnections: {
    name: "max-connections",
    kind: "integer",
    default: "10000",
    min: 1,
    max: 1_000_000,
    placeholder: "CONNECTIONS",
    description: "Maximum open connections per port, over all serving threads",
  },
  maxConcurrentRequests: {
    name: "max-concurrent-requests",
    kind: "integer",
    default: "10000",
    min: 1,
    max: 1_000_000,
    placeholder: "REQUESTS",
    isReloadable: true,
    description: "Maximum concurrent requests of clients; more get 503",
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
  grpcMaxMessageSizeInMb: {
    name: "grpc-max-message-size-in-mb",
    kind: "integer",
    default: "4",
    min: 1,
    max: 1024,
    placeholder: "MB",
    isReloadable: true,
    description:
      "Maximum size of a config spec over gRPC in MB; for a larger one clients get RESOURCE_EXHAUSTED. SDKs accept 4",
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
  grpcMaxConnectionAgeInS: {
    name: "grpc-max-connection-age-in-s",
    kind: "integer",
    default: "0",
    min: 0,
    max: 604_800,
    placeholder: "SECONDS",
    isReloadable: true,
    description:
      "Age in seconds, give or take 10 %, at which connections to the gRPC ports end, so that clients spread over added relays; 0 disables it",
  },
  grpcMaxConnectionAgeGraceInS: {
    name: "grpc-max-connection-age-grace-in-s",
    ...seconds,
    default: "10",
    max: 3_600,
    isReloadable: true,
    description:
      "Grace period for what is in flight on a connection that has reached its maximum age, in seconds",
  },
} as const satisfies OptionGroup;
