import type { MetricRow } from "./metric.ts";

const PER_FEED = ["sdk_key", "path"] as const;

/** What pushed lines say about the client of an HTTP request, and about the response. */
const CLIENT = ["sdk_type", "sdk_version", "client_service", "response_payload_type"] as const;

/**
 * The metrics of the original proxy, with the same names and kinds (docs/protocol.md, Metric names). Every latency also has a count.
 * Pushed lines have its tags as well (push/original-tags.ts).
 */
export const ORIGINAL_METRICS = [
  {
    name: "HttpServerRequestSuccess",
    kinds: ["count", "latency"],
    tags: ["sdk_key", "path", "status_code", "accept-encoding", "content-encoding"],
    clientTags: CLIENT,
    description: "HTTP requests with a response status below 400",
  },
  {
    name: "HttpServerRequestFailed",
    kinds: ["count", "latency"],
    tags: ["sdk_key", "path", "status_code", "accept-encoding", "content-encoding"],
    clientTags: CLIENT,
    description: "HTTP requests with a response status of 400 or higher",
  },
  {
    name: "HttpDataProviderGotData",
    kinds: ["count", "latency"],
    tags: PER_FEED,
    description: "Requests to upstream that returned a new version",
  },
  {
    name: "HttpDataProviderNoData",
    kinds: ["count", "latency"],
    tags: PER_FEED,
    description: "Requests to upstream that confirmed the cached version as the newest",
  },
  {
    name: "HttpDataProviderNoDataDueToBadLcut",
    kinds: ["count", "latency"],
    tags: PER_FEED,
    description:
      "Responses of upstream that were rejected for their version: missing, older than the cached one, or in the future",
  },
  {
    name: "HttpDataProviderError",
    kinds: ["count", "latency"],
    tags: [...PER_FEED, "reason"],
    description: "Requests to upstream that failed, or returned an invalid response",
  },
  {
    name: "DcsFetchSource",
    kinds: ["count"],
    tags: [...PER_FEED, "status_code", "client_service"],
    description: "Responses of upstream to requests for config specs; client_service is where they came from",
  },
  {
    name: "DownloadIdListFileSizeBytes",
    kinds: ["gauge"],
    tags: ["file_id"],
    rest: "largest",
    description: "Size of the last download of each ID list file, in bytes",
  },
  {
    name: "RedisCacheWriteSucceed",
    kinds: ["count", "latency"],
    tags: PER_FEED,
    description: "Versions written to Redis",
  },
  {
    name: "RedisCacheWriteFailed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Failed writes of versions to Redis",
  },
  {
    name: "RedisCacheWriteSkipped",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Versions not written because Redis already has the same or a newer version",
  },
  {
    name: "RedisCacheReadSucceed",
    kinds: ["count", "latency"],
    tags: PER_FEED,
    description: "Versions read from Redis",
  },
  {
    name: "RedisCacheReadMiss",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Reads from Redis that found no entry, or nothing newer than the cached version",
  },
  {
    name: "RedisCacheReadFailed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Reads from Redis that failed, or found an unusable entry",
  },
  {
    name: "RedisCacheDeleteSucceed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Feeds deleted from Redis because upstream revoked the SDK key",
  },
  {
    name: "RedisCacheDeleteFailed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Failed deletions of feeds from Redis",
  },
  {
    name: "RedisCacheTtlRefreshed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Feeds whose expiry in Redis was extended",
  },
  {
    name: "RedisCacheTtlMissed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Feeds that Redis had lost, or had in another version, when their expiry was to be extended",
  },
  {
    name: "RedisCacheTtlFailed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Feeds whose expiry in Redis could not be extended",
  },
  {
    name: "ConfigSpecStoreGotData",
    kinds: ["count"],
    tags: [...PER_FEED, "source", "lcut"],
    description: "New versions in memory; lcut is the latest version",
  },
  {
    name: "GrpcStreamingStreamedInitialized",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Streams opened, over any protocol",
  },
  {
    name: "GrpcStreamingStreamedResponse",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Versions sent on streams, over any protocol",
  },
  {
    name: "GrpcStreamingHealthcheckSent",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Heartbeats (no update) sent on streams, over any protocol",
  },
  {
    name: "GrpcStreamingStreamDisconnected",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Streams closed, over any protocol",
  },
  {
    name: "GrpcStreamingStreamUnauthorized",
    kinds: ["count"],
    tags: [],
    description: "Streams rejected because upstream or --allowed-sdk-keys rejects the SDK key",
  },
  {
    name: "GrpcEstimatedActiveStreams",
    kinds: ["gauge"],
    tags: ["sdk_key"],
    description: "Open streams, over any protocol",
  },
  {
    name: "StreamingChannelGotNewData",
    kinds: ["count"],
    tags: [...PER_FEED, "lcut"],
    description: "New versions of feeds with open streams; lcut is the latest version",
  },
  {
    name: "UpdateConfigSpecStorePropagationDelayMs",
    kinds: ["latency"],
    tags: PER_FEED,
    description:
      "Delay between a change of the project (its lcut) and its arrival in memory, without the first version of a feed",
  },
  {
    name: "ConfigSpecCurrentLcut",
    kinds: ["gauge"],
    tags: PER_FEED,
    rest: "smallest",
    description: "Oldest version (lcut) that is served for an SDK key and path, in ms since 1970",
  },
  {
    name: "BackgroundDataProviderRequestInterval",
    kinds: ["latency"],
    tags: PER_FEED,
    description: "Interval between two successful polls of a feed",
  },
  {
    name: "LogEventStoreDeduped",
    kinds: ["count"],
    tags: ["sdk_key"],
    description: "Duplicate exposures that were not forwarded",
  },
  {
    name: "LogEventStoreDedupeCacheCleared",
    kinds: ["count"],
    tags: [],
    description: "Times that all exposures remembered for deduplication were replaced by newer ones",
  },
] as const satisfies readonly MetricRow[];
