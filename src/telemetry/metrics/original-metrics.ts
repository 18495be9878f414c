import type { MetricRow } from "./metric.ts";

const PER_FEED = ["sdk_key", "path"] as const;

/** What operators of the original proxy know: same names, same kinds, and a count wherever there is a latency. */
export const ORIGINAL_METRICS = [
  {
    name: "HttpServerRequestSuccess",
    kinds: ["count", "latency"],
    tags: ["sdk_key", "path", "status_code", "accept-encoding", "content-encoding"],
    description: "HTTP requests that were answered with a status below 400",
  },
  {
    name: "HttpServerRequestFailed",
    kinds: ["count", "latency"],
    tags: ["sdk_key", "path", "status_code", "accept-encoding", "content-encoding"],
    description: "HTTP requests that were answered with a status of 400 or more",
  },
  {
    name: "HttpDataProviderGotData",
    kinds: ["count", "latency"],
    tags: PER_FEED,
    description: "Requests to upstream that brought a new version",
  },
  {
    name: "HttpDataProviderNoData",
    kinds: ["count", "latency"],
    tags: PER_FEED,
    description: "Requests to upstream after which what is held is the newest still",
  },
  {
    name: "HttpDataProviderNoDataDueToBadLcut",
    kinds: ["count", "latency"],
    tags: PER_FEED,
    description: "Answers of upstream that were refused: without a version, or older than what is held",
  },
  {
    name: "HttpDataProviderError",
    kinds: ["count", "latency"],
    tags: [...PER_FEED, "reason"],
    description: "Requests to upstream that failed, or whose answer can't be used",
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
    description: "Versions that could not be written to Redis",
  },
  {
    name: "RedisCacheWriteSkipped",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Versions not written, since Redis has at least as new a one",
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
    description: "Reads of Redis that found nothing newer",
  },
  {
    name: "RedisCacheReadFailed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Reads of Redis that failed, or found what can't be used",
  },
  {
    name: "RedisCacheDeleteSucceed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Feeds removed from Redis, since upstream revoked the SDK key",
  },
  {
    name: "RedisCacheDeleteFailed",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Feeds that could not be removed from Redis",
  },
  {
    name: "ConfigSpecStoreGotData",
    kinds: ["count"],
    tags: [...PER_FEED, "source", "lcut"],
    description: "New versions in memory; lcut is that of the newest",
  },
  {
    name: "GrpcStreamingStreamedInitialized",
    kinds: ["count"],
    tags: PER_FEED,
    description: "gRPC streams that were opened",
  },
  {
    name: "GrpcStreamingStreamedResponse",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Versions sent on gRPC streams",
  },
  {
    name: "GrpcStreamingHealthcheckSent",
    kinds: ["count"],
    tags: PER_FEED,
    description: "Messages on gRPC streams that say that there is nothing new",
  },
  {
    name: "GrpcStreamingStreamDisconnected",
    kinds: ["count"],
    tags: PER_FEED,
    description: "gRPC streams that ended",
  },
  {
    name: "GrpcStreamingStreamUnauthorized",
    kinds: ["count"],
    tags: [],
    description: "gRPC streams refused, since upstream or the list of allowed keys says no to the SDK key",
  },
  {
    name: "GrpcEstimatedActiveStreams",
    kinds: ["gauge"],
    tags: ["sdk_key"],
    description: "Open gRPC streams",
  },
  {
    name: "StreamingChannelGotNewData",
    kinds: ["count"],
    tags: [...PER_FEED, "lcut"],
    description: "New versions of feeds that streams follow; lcut is that of the newest",
  },
  {
    name: "UpdateConfigSpecStorePropagationDelayMs",
    kinds: ["latency"],
    tags: PER_FEED,
    description: "From a change of the project (its lcut) until its new version is held here",
  },
  {
    name: "BackgroundDataProviderRequestInterval",
    kinds: ["latency"],
    tags: PER_FEED,
    description: "Between two answers of upstream to polls of a feed",
  },
  {
    name: "LogEventStoreDeduped",
    kinds: ["count"],
    tags: ["sdk_key"],
    description: "Exposures that were there before and went no further",
  },
  {
    name: "LogEventStoreDedupeCacheCleared",
    kinds: ["count"],
    tags: [],
    description: "Times that every exposure remembered for repeats has made room for a newer one",
  },
] as const satisfies readonly MetricRow[];
