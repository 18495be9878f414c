import type { MetricRow } from "./metric.ts";

/** Metrics that the original proxy does not have: config specs, backup, RPCs, log events and ID lists. */
export const FLOW_METRICS = [
  {
    name: "PayloadRefused",
    kinds: ["count"],
    tags: ["sdk_key", "path", "reason"],
    description:
      "Config specs from upstream that were rejected: damaged, truncated, older than the cached version, or of another SDK key",
  },
  {
    name: "PollWait",
    kinds: ["count", "latency"],
    tags: [],
    description:
      "Polls of upstream, and how long each waited for a request slot (-u); without feeds whose last poll stalled",
  },
  {
    name: "UpstreamEndpointAsked",
    kinds: ["count"],
    tags: ["endpoint", "result"],
    description:
      "Requests to each endpoint of STATSIG_ENDPOINT: usable, lagging behind the cached version, unauthorized, or failed",
  },
  {
    name: "SdkKeyUnauthorized",
    kinds: ["count"],
    tags: ["state"],
    description: "401 and 403 responses of upstream; state says what happened to the cached config",
  },
  {
    name: "ConfigSpecEvicted",
    kinds: ["count"],
    tags: ["reason"],
    description: "Feeds that were evicted for another SDK key, or could not be cached",
  },
  {
    name: "ConfigSpecLcutTimestampMs",
    kinds: ["gauge"],
    tags: ["sdk_key", "path", "format"],
    rest: "smallest",
    description: "Version (lcut) of each cached feed, in ms since 1970",
  },
  {
    name: "ConfigSpecConfirmedAgeS",
    kinds: ["gauge"],
    tags: ["sdk_key", "path", "format"],
    rest: "largest",
    description:
      "Seconds since upstream last confirmed the cached version as the newest; before the first confirmation, since it was cached",
  },
  {
    name: "ConfigSpecBytes",
    kinds: ["gauge"],
    tags: ["sdk_key", "path", "format"],
    description: "Uncompressed size of each cached feed",
  },
  {
    name: "ConfigSpecServedBytes",
    kinds: ["count"],
    tags: [],
    description: "Bytes of config specs sent to clients, as sent: compressed if they were",
  },
  {
    name: "ConfigSpecReceivedBytes",
    kinds: ["count"],
    tags: [],
    description:
      "Bytes of config specs that upstream sent; ConfigSpecServedBytes less these is what relaying saved",
  },
  {
    name: "DeltaComputed",
    kinds: ["count"],
    tags: [],
    description:
      "Deltas that were computed for new protobuf versions, each from one or more earlier versions",
  },
  {
    name: "DeltaResponse",
    kinds: ["count"],
    tags: ["result"],
    description:
      "Updates of clients that accept deltas: delta, or full if there is none from the client's version, or none of half the size",
  },
  {
    name: "DeltaSavedBytes",
    kinds: ["count"],
    tags: [],
    description: "Bytes that were not sent because clients got deltas instead of whole config specs",
  },
  {
    name: "DeltaReceived",
    kinds: ["count"],
    tags: ["result"],
    description:
      "Deltas from upstream (--deltas-background-loop-enabled): applied, or refused, after which the whole config specs were fetched",
  },
  {
    name: "DeltaMemoryBytes",
    kinds: ["gauge"],
    tags: [],
    description: "Memory of deltas and of what they are computed from; at 64 MiB, further feeds get none",
  },
  {
    name: "SdkKeysHeld",
    kinds: ["gauge"],
    tags: [],
    description: "SDK keys with cached config specs",
  },
  {
    name: "BackupUnusable",
    kinds: ["count"],
    tags: ["source"],
    description: "Backup entries that are unusable, and local versions that are damaged",
  },
  {
    name: "BackupFailed",
    kinds: ["count"],
    tags: ["source", "action"],
    description: "Failed reads and writes of the backup",
  },
  {
    name: "BootstrapFiles",
    kinds: ["gauge"],
    tags: ["state"],
    description: "Files of --bootstrap-path with config specs that can be served (usable) or not (unusable)",
  },
  {
    name: "BackupUp",
    kinds: ["gauge"],
    tags: ["source"],
    description: "1 while the backup can be read and written, otherwise 0",
  },
  {
    name: "RedisTokenFailing",
    kinds: ["gauge"],
    tags: [],
    description: "1 while the access token for Redis cannot be renewed (REDIS_AUTH_MODE=oauth), otherwise 0",
  },
  {
    name: "RedisPermissionsMissing",
    kinds: ["gauge"],
    tags: [],
    description: "Permissions that the Redis user is known to lack",
  },
  {
    name: "FleetLooked",
    kinds: ["count"],
    tags: ["state"],
    description:
      "Feeds due for a poll in a fleet. state: confirmed by another relay, claimed by another relay, ours to poll, or failed if Redis did not respond",
  },
  {
    name: "GrpcServerRequest",
    kinds: ["count", "latency"],
    tags: ["sdk_key", "path", "code"],
    description: "Unary RPCs, by status code",
  },
  {
    name: "GrpcStreamsAllowed",
    kinds: ["gauge"],
    tags: [],
    description: "Maximum number of open streams (--grpc-max-concurrent-streams)",
  },
  {
    name: "GrpcStreamRefused",
    kinds: ["count"],
    tags: ["code"],
    description: "Streams rejected, over any protocol, by gRPC status code",
  },
  {
    name: "GrpcFeedsTooLarge",
    kinds: ["gauge"],
    tags: [],
    description:
      "Feeds that gRPC clients request and do not get, since they are larger than --grpc-max-message-size-in-mb",
  },
  {
    name: "LogEventAccepted",
    kinds: ["count"],
    tags: ["sdk_key"],
    description: "Log events accepted from SDKs, including duplicates",
  },
  {
    name: "LogEventRequestRejected",
    kinds: ["count"],
    tags: ["reason"],
    description: "Requests with log events that were rejected",
  },
  {
    name: "LogEventForwarded",
    kinds: ["count"],
    tags: ["sdk_key"],
    description: "Log events that upstream accepted",
  },
  {
    name: "LogEventForwardRequest",
    kinds: ["count", "latency"],
    tags: ["sdk_key"],
    description: "Requests with log events that upstream accepted",
  },
  {
    name: "LogEventForwardDelayed",
    kinds: ["count"],
    tags: [],
    description: "Requests with log events that failed and are retried",
  },
  {
    name: "LogEventDropped",
    kinds: ["count"],
    tags: ["reason"],
    description: "Log events dropped for good",
  },
  {
    name: "LogEventQueueFailed",
    kinds: ["count"],
    tags: ["action"],
    description: "Failed reads and writes of the log event queue",
  },
  {
    name: "LogEventQueueEvents",
    kinds: ["gauge"],
    tags: ["state"],
    description: "Log events queued for upstream, in memory or in the spool",
  },
  {
    name: "LogEventQueueBytes",
    kinds: ["gauge"],
    tags: ["state"],
    description: "Bytes of the log events queued for upstream",
  },
  {
    name: "LogEventQueueFilled",
    kinds: ["gauge"],
    tags: ["state"],
    description: "Fill level of the log event queue, from 0 (empty) to 1 (full)",
  },
  {
    name: "IdListUpdated",
    kinds: ["count"],
    tags: ["sdk_key", "source"],
    description: "Changed ID list manifests",
  },
  {
    name: "IdListFailed",
    kinds: ["count"],
    tags: ["reason"],
    description: "ID list manifests and files that could not be fetched, stored or used",
  },
  {
    name: "IdListFileBytes",
    kinds: ["count"],
    tags: [],
    description: "Bytes of ID list files downloaded",
  },
] as const satisfies readonly MetricRow[];
