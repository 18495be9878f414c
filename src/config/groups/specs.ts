import { readSdkKeyList, type SdkKey } from "../../access/sdk-key.ts";
import type { OptionGroup, OptionSpec } from "../option.ts";
import { ConfigError, type Environment, type Settings } from "../settings.ts";
import { type EndpointLocation, readEndpoints } from "../upstream-endpoints.ts";
import { type BlobStorageReading, readBlobStorage } from "./blob-storage.ts";
import { LIMITS } from "./limits.ts";
import { readPins } from "./pins.ts";

/** Which config specs are fetched, from where and how often. */
export interface SpecsConfig extends BlobStorageReading {
  /** The endpoints of `STATSIG_ENDPOINT`, the preferred one first. */
  readonly upstreamEndpoints: readonly EndpointLocation[];
  /** The preferred endpoint. */
  readonly upstreamUrl: string;
  /** Whether requests to the preferred endpoint go through `HTTP_PROXY` or `HTTPS_PROXY`. */
  readonly upstreamProxied: boolean;
  readonly maxKeys: number;
  readonly pollIntervalMs: number;
  /** Limit of a config spec, compressed and decompressed, from upstream or a backup. */
  readonly maxPayloadBytes: number;
  readonly maxRequestsInFlight: number;
  readonly maxStreams: number;
  /** Percentage of `maxStreams` above which the gRPC health check says NOT_SERVING. */
  readonly grpcReadyPercent: number;
  readonly clearOnUnauthorized: boolean;
  /** Limit of earlier versions of a feed from which clients get deltas; 0 turns deltas off. */
  readonly deltaHistory: number;
  /** Whether upstream is asked for deltas. */
  readonly requestsDeltas: boolean;
  readonly preloadSdkKeys: readonly SdkKey[];
  /** `SFP_STARTUP_WARMUP_KEYS_JSON`; undefined if it is empty. */
  readonly warmUpJson: string | undefined;
  readonly upstream: UpstreamConfig;
  readonly versionHistory: VersionHistoryConfig;
  /** `--pin`: the lcut to which each key is pinned. */
  readonly pins: ReadonlyMap<SdkKey, number>;
}

/** Earlier versions that operators can roll back to. */
interface VersionHistoryConfig {
  /** Limit of versions of a feed besides the served and the newest one; 0 keeps none. */
  readonly perFeed: number;
  /** Limit of all of them together. */
  readonly maxBytes: number;
}

/** How requests for config specs and ID lists are sent. Log events have limits of their own. */
interface UpstreamConfig {
  readonly timeouts: RequestTimeouts;
  /** Whether a connection is used again for another request. */
  readonly reusesConnections: boolean;
  /** The least time between the starts of two polls, of config specs and ID lists together. */
  readonly pollSpacingMs: number;
}

interface RequestTimeouts {
  readonly connectMs: number;
  /** How long upstream may send nothing: before its response, and between two chunks of the body. */
  readonly readMs: number;
  /** Limit of the whole request. Undefined if a body may take as long as it takes while it makes progress. */
  readonly totalMs: number | undefined;
}

/** Throws {@link ConfigError}. */
export function readSpecs(settings: Settings, env: Environment): SpecsConfig {
  const [preferred, ...others] = readEndpoints(env);
  const maxKeys = settings.integer(SPECS.maximumConcurrentSdkKeys);
  return {
    upstreamEndpoints: [preferred, ...others],
    upstreamUrl: preferred.url,
    upstreamProxied: preferred.proxied,
    ...readBlobStorage(env),
    maxKeys,
    pollIntervalMs: settings.integer(SPECS.pollingIntervalInS) * 1_000,
    maxPayloadBytes: settings.integer(LIMITS.maxPayloadInMb) * 1024 * 1024,
    maxRequestsInFlight: settings.integer(SPECS.maxInFlight),
    maxStreams: settings.integer(SPECS.grpcMaxConcurrentStreams),
    grpcReadyPercent: settings.integer(SPECS.grpcReadyThreshold),
    clearOnUnauthorized: settings.flag(SPECS.clearDatastoreOnUnauthorized),
    deltaHistory: settings.integer(SPECS.deltaHistory),
    requestsDeltas: settings.flag(SPECS.deltasBackgroundLoopEnabled),
    preloadSdkKeys: readPreload(settings, maxKeys),
    warmUpJson: env["SFP_STARTUP_WARMUP_KEYS_JSON"]?.trim() || undefined,
    upstream: readUpstream(settings),
    versionHistory: {
      perFeed: settings.integer(SPECS.versionHistory),
      maxBytes: settings.integer(SPECS.versionHistoryMaxInMb) * 1024 * 1024,
    },
    pins: readPins(settings.text(SPECS.pin), settings.shown(SPECS.pin)),
  };
}

function readUpstream(settings: Settings): UpstreamConfig {
  const milliseconds = (option: OptionSpec) => settings.integer(option) * 1_000;
  const isTotalGiven = settings.isGiven(UPSTREAM.httpRequestTimeoutInS);
  const pool = [UPSTREAM.httpConnectionPoolMaxIdlePerHost, UPSTREAM.httpConnectionPoolIdleTimeoutInS];
  return {
    timeouts: {
      connectMs: milliseconds(UPSTREAM.httpConnectTimeoutInS),
      readMs: milliseconds(UPSTREAM.httpReadTimeoutInS),
      totalMs: isTotalGiven ? milliseconds(UPSTREAM.httpRequestTimeoutInS) : undefined,
    },
    reusesConnections: pool.every((option) => !settings.isGiven(option) || settings.integer(option) > 0),
    pollSpacingMs: settings.integer(UPSTREAM.backgroundPollItemSpacingMs),
  };
}

function readPreload(settings: Settings, maxKeys: number): readonly SdkKey[] {
  const shown = settings.shown(SPECS.preloadSdkKeys);
  const keys = readSdkKeyList(settings.text(SPECS.preloadSdkKeys), (problem) => {
    throw new ConfigError(`${shown}: ${problem}`);
  });
  if (keys.length <= maxKeys) return keys;
  throw new ConfigError(
    `${shown} lists ${keys.length} keys (expected at most ${maxKeys}, the value of --maximum-concurrent-sdk-keys)`,
  );
}

/** The options of config specs, in the order of `--help`. Names and defaults of the original proxy must stay. */
export const SPECS = {
  maximumConcurrentSdkKeys: {
    name: "maximum-concurrent-sdk-keys",
    short: "m",
    kind: "integer",
    default: "1000",
    min: 1,
    max: 1_000_000,
    original: "u16",
    zeroMeansDefault: true,
    placeholder: "KEYS",
    description: "Maximum SDK keys kept in memory; the least recently used is evicted",
  },
  pollingIntervalInS: {
    name: "polling-interval-in-s",
    short: "p",
    kind: "integer",
    default: "10",
    min: 1,
    max: 86_400,
    original: "u64",
    placeholder: "SECONDS",
    isReloadable: true,
    description: "Interval of polling upstream for config specs in seconds",
  },
  maxInFlight: {
    name: "max-in-flight",
    aliases: ["update-batch-size"],
    short: "u",
    kind: "integer",
    default: "64",
    min: 1,
    max: 10_000,
    original: "u64",
    placeholder: "REQUESTS",
    description:
      "Maximum concurrent upstream requests that make progress; up to as many again may be stalled, at most 192 in all",
  },
  grpcMaxConcurrentStreams: {
    name: "grpc-max-concurrent-streams",
    short: "g",
    kind: "integer",
    default: "500",
    min: 0,
    max: 1_000_000,
    original: "u32",
    placeholder: "STREAMS",
    isReloadable: true,
    description: "Maximum open streams of all clients together, over any protocol; 0 rejects all",
  },
  grpcReadyThreshold: {
    name: "grpc-ready-endpoint-percentage-of-total-streams-threshold",
    kind: "integer",
    default: "90",
    min: 0,
    max: 100,
    original: "u64",
    placeholder: "PERCENT",
    description:
      "Percentage of --grpc-max-concurrent-streams above which the gRPC health check says NOT_SERVING",
  },
  clearDatastoreOnUnauthorized: {
    name: "clear-datastore-on-unauthorized",
    aliases: ["clear-external-datastore-on-unauthorized"],
    kind: "flag",
    description:
      "Delete a key's config specs if upstream responds 401 or 403; otherwise they are still served",
  },
  preloadSdkKeys: {
    name: "preload-sdk-keys",
    kind: "text",
    isList: true,
    isSecret: true,
    placeholder: "KEYS|@FILE",
    isReloadable: true,
    description: "SDK keys to fetch at start, before any client requests them, comma-separated or @FILE",
  },
  versionHistory: {
    name: "version-history",
    kind: "integer",
    default: "5",
    min: 0,
    max: 100,
    placeholder: "VERSIONS",
    description: "Number of earlier versions of each feed to keep in memory, for rolling back; 0 keeps none",
  },
  versionHistoryMaxInMb: {
    name: "version-history-max-in-mb",
    kind: "integer",
    default: "64",
    min: 1,
    max: 1_000_000,
    placeholder: "MB",
    description: "Limit of all earlier versions together, compressed, in MB; the oldest are dropped first",
  },
  pin: {
    name: "pin",
    kind: "text",
    isList: true,
    isSecret: true,
    placeholder: "KEY=LCUT|@FILE",
    isReloadable: true,
    description:
      "Versions beyond which SDK keys do not go, comma-separated or @FILE; the lcut is that of the version",
  },
  deltaHistory: {
    name: "delta-history",
    aliases: ["deltas-num-responses-to-persist"],
    kind: "integer",
    default: "16",
    min: 0,
    max: 1_000,
    original: "u64",
    placeholder: "VERSIONS",
    description:
      "Number of versions before the newest from which protobuf clients that accept deltas get what changed; 0 turns deltas off",
  },
  deltasBackgroundLoopEnabled: {
    name: "deltas-background-loop-enabled",
    kind: "flag",
    description:
      "Ask upstream for what changed in protobuf config specs; a delta that cannot be verified is not used",
  },
  deltasBackgroundLoopSleepTimeInS: {
    name: "deltas-background-loop-sleep-time-in-s",
    kind: "integer",
    original: "u64",
    placeholder: "SECONDS",
    hasNoEffect: true,
    description: "No effect: deltas come with the polls of config specs",
  },
} as const satisfies OptionGroup;

/** With a limit of 0, the original proxy gives up each request before it is sent. */
const LIMIT = {
  kind: "integer",
  min: 1,
  max: 1_000_000_000,
  original: "u64",
  placeholder: "SECONDS",
} as const;

const POOL = {
  kind: "integer",
  original: "u64",
  hasNoEffect: true,
  zeroHasEffect: true,
  description: "No effect: idle connections have no such limit. Only 0 has: a connection is used once",
} as const;

/** The options of requests to upstream, in the order of `--help`. Names and defaults are those of the original proxy. */
export const UPSTREAM = {
  httpRequestTimeoutInS: {
    name: "http-request-timeout-in-s",
    ...LIMIT,
    description:
      "Limit of a whole request for config specs or ID lists (Default: none while the response makes progress)",
  },
  httpReadTimeoutInS: {
    name: "http-read-timeout-in-s",
    ...LIMIT,
    default: "10",
    description: "How long upstream may send nothing, before or during its response",
  },
  httpConnectTimeoutInS: {
    name: "http-connect-timeout-in-s",
    ...LIMIT,
    default: "10",
    description: "Limit of connecting to upstream in seconds",
  },
  httpConnectionPoolMaxIdlePerHost: {
    name: "http-connection-pool-max-idle-per-host",
    ...POOL,
    placeholder: "CONNECTIONS",
  },
  httpConnectionPoolIdleTimeoutInS: {
    name: "http-connection-pool-idle-timeout-in-s",
    ...POOL,
    placeholder: "SECONDS",
  },
  backgroundPollItemSpacingMs: {
    name: "background-poll-item-spacing-ms",
    kind: "integer",
    default: "0",
    min: 0,
    max: 86_400_000,
    original: "u64",
    placeholder: "MS",
    isReloadable: true,
    description: "Least time between the starts of two polls in milliseconds; first requests do not wait",
  },
} as const satisfies OptionGroup;
