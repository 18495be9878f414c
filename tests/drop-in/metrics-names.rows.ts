import type { DropInRow } from "../support/drop-in/row.ts";

const ENCODINGS = "encodings in metric tags";
const STREAMS = "streams that are rejected";
const NGINX = "`NginxCacheBytesUsed`, `NginxCacheBytesLimit`";
const OF_1_X = "metrics of 1.x: `InMemoryCache…`, `SdkKeyStoreCache…`, `ConfigSpecStoreGotNoData`";
const FILE_SIZE = "tags of `DownloadIdListFileSizeBytes`";
const STATUS = "`status_code` of `HttpDataProvider…` from 4.2 on";

/** A metric of the original: any version from 1.x to 4.5. */
export interface MetricNameRow extends DropInRow {
  /** `Name.kind`, as in StatsD lines. */
  readonly metric: string;
  /** The names of the tags of the relay's lines, in order. They may be followed by tags of the relay. Undefined if nothing is sent. */
  readonly tags: readonly string[] | undefined;
}

type Kind = "count" | "latency" | "gauge";

const FEED = ["sdk_key", "path"] as const;
const REQUEST = [
  ...[...FEED, "lcut", "status_code", "accept-encoding", "content-encoding"],
  ...["sdk_type", "sdk_version", "client_service"],
];

const same = (kind: Kind, name: string, tags: readonly string[], when: string): MetricNameRow => ({
  name: `${name}.${kind}`,
  original: `${when}; tags ${tags.join(", ") || "none"}`,
  ours: "same",
  metric: `${name}.${kind}`,
  tags,
});

interface Difference {
  readonly original: readonly string[];
  readonly ours: readonly string[] | undefined;
  readonly does: string;
  readonly subject: string;
}

const differs = (kind: Kind, name: string, when: string, difference: Difference): MetricNameRow => ({
  name: `${name}.${kind}`,
  original: `${when}; tags ${difference.original.join(", ") || "none"}`,
  ours: { does: difference.does, subject: difference.subject },
  metric: `${name}.${kind}`,
  tags: difference.ours,
});

/** The original tags each metric of a feed with the encodings of the client whose request made it poll the feed. */
const withoutEncodings = (kind: Kind, name: string, tags: readonly string[], when: string) =>
  differs(kind, name, when, {
    original: [...tags, "accept-encoding"],
    ours: tags,
    does: "sends the same without accept-encoding",
    subject: ENCODINGS,
  });

const fromUpstream = (name: string, tags: readonly string[], when: string) =>
  differs("latency", `HttpDataProvider${name}`, when, {
    original: tags.toSpliced(tags.indexOf("accept-encoding"), 0, "status_code"),
    ours: tags,
    does: "sends the same without status_code",
    subject: STATUS,
  });

const notSent = (kind: Kind, name: string, when: string, subject: string) =>
  differs(kind, name, when, { original: [], ours: undefined, does: "sends nothing", subject });

const VERSION = [...FEED, "lcut"];
const STREAM = [...FEED, "accept-encoding"];

/** The metrics that the original's list of events and its monitoring page name. */
export const METRIC_NAME_ROWS: readonly MetricNameRow[] = [
  same("latency", "HttpServerRequestSuccess", REQUEST, "each request that succeeds"),
  same("latency", "HttpServerRequestFailed", REQUEST, "each request that fails"),
  fromUpstream("GotData", [...VERSION, "accept-encoding", "content-encoding"], "a new version from upstream"),
  fromUpstream("NoData", [...VERSION, "accept-encoding"], "upstream has nothing newer"),
  fromUpstream("Error", [...VERSION, "accept-encoding"], "a request to upstream fails"),
  same(
    "latency",
    "HttpDataProviderNoDataDueToBadLcut",
    [...FEED, "accept-encoding"],
    "upstream sends no usable version",
  ),
  differs("count", "DcsFetchSource", "each response of upstream, since 4.3", {
    original: [...FEED, "status_code", "accept-encoding", "client_service"],
    ours: [...FEED, "status_code", "client_service"],
    does: "sends the same without accept-encoding",
    subject: ENCODINGS,
  }),
  differs("gauge", "DownloadIdListFileSizeBytes", "an ID list file is fetched, since 4.3", {
    original: [...FEED, "file_id", "accept-encoding"],
    ours: ["file_id"],
    does: "one line for each file, whichever SDK keys have it",
    subject: FILE_SIZE,
  }),
  withoutEncodings("count", "RedisCacheWriteSucceed", VERSION, "a version is written to Redis"),
  withoutEncodings("count", "RedisCacheWriteFailed", VERSION, "a write to Redis fails"),
  withoutEncodings("count", "RedisCacheWriteSkipped", VERSION, "a version is not written to Redis"),
  withoutEncodings("count", "RedisCacheReadSucceed", FEED, "a version is read from Redis"),
  withoutEncodings("count", "RedisCacheReadMiss", FEED, "Redis has no entry"),
  withoutEncodings("count", "RedisCacheReadFailed", FEED, "a read from Redis fails"),
  withoutEncodings("count", "RedisCacheDeleteSucceed", FEED, "the entry of a revoked key is deleted"),
  withoutEncodings("count", "RedisCacheDeleteFailed", FEED, "a deletion fails"),
  withoutEncodings("count", "RedisCacheTtlRefreshed", FEED, "an expiry is extended, since 4.5"),
  withoutEncodings("count", "RedisCacheTtlMissed", FEED, "there is no such entry, since 4.5"),
  withoutEncodings("count", "RedisCacheTtlFailed", FEED, "an extension fails, since 4.5"),
  same("count", "ConfigSpecStoreGotData", VERSION, "a new version in memory"),
  withoutEncodings(
    "latency",
    "UpdateConfigSpecStorePropagationDelayMs",
    VERSION,
    "a newer version replaces one in memory",
  ),
  withoutEncodings("latency", "BackgroundDataProviderRequestInterval", FEED, "a second poll, since 4.5"),
  withoutEncodings("gauge", "ConfigSpecCurrentLcut", FEED, "once a minute for each key and path, since 4.5"),
  same("count", "GrpcStreamingStreamedInitialized", STREAM, "a stream begins"),
  same("count", "GrpcStreamingStreamedResponse", STREAM, "a version is sent on a stream"),
  same("count", "GrpcStreamingHealthcheckSent", STREAM, "a heartbeat is sent on a stream"),
  same("count", "GrpcStreamingStreamDisconnected", STREAM, "a stream ends"),
  differs("count", "GrpcStreamingStreamUnauthorized", "a stream is rejected", {
    original: STREAM,
    ours: ["accept-encoding"],
    does: "counts it without SDK key and path, which may be made up",
    subject: STREAMS,
  }),
  same("gauge", "GrpcEstimatedActiveStreams", [], "once a minute, all open streams"),
  same("count", "StreamingChannelGotNewData", [...VERSION, "accept-encoding"], "streams get a new version"),
  withoutEncodings("count", "LogEventStoreDeduped", FEED, "duplicate exposures are dropped"),
  same("count", "LogEventStoreDedupeCacheCleared", [], "remembered exposures are dropped"),
  ...["BytesUsed", "BytesLimit"].map((size) => notSent("gauge", `NginxCache${size}`, "once a minute", NGINX)),
  ...[
    ...["InMemoryCacheWriteSucceed", "InMemoryCacheWriteSkipped", "InMemoryCacheReadSucceed"],
    ...["SdkKeyStoreCacheMiss", "SdkKeyStoreCacheHit", "ConfigSpecStoreGotNoData"],
  ].map((name) => notSent("count", name, "only in 1.x", OF_1_X)),
];
