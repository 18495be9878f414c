import type { DropInRow } from "../support/drop-in/row.ts";

/** Subjects of rows in docs/migrating.md. */
const CLIENT_VALUES = "values of clients in metric tags";
const ENCODINGS = "encodings in metric tags";
const REFUSED_STREAMS = "streams that are rejected";

/** The SDK keys of the recorded requests. */
export const GOLDEN_KEYS = {
  known: "secret-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEf",
  rejected: "secret-bad1",
  rejectedByStream: "secret-bad9",
} as const;

/** The version of the recorded config specs. */
export const GOLDEN_LCUT = 1_760_000_000_000;

/** The variables of the recorded processes, which all lines end with. */
export const GOLDEN_ENV = { DD_VERSION: "vv", DD_ENV: "e", DD_SERVICE: "s", HOSTNAME: "hosty" } as const;

const END = "version:vv,env:e,service:s,pod_name:hosty";
const KNOWN = "sdk_key:secret-AbCdEfGhIjKlM***";
const V1 = "path:/v1/download_config_specs/";
const V2 = "path:/v2/download_config_specs/";
const LCUT = `lcut:${GOLDEN_LCUT}`;

/** A line that the original 4.1 sent, and what the relay sends for the same request: a line, or nothing. */
export interface GoldenRow extends DropInRow {
  readonly sink: "statsd" | "datadog";
  /** The line without its value: `Name.kind|type|#tags`. */
  readonly line: string | undefined;
}

interface Recorded {
  readonly name: string;
  /** The line without prefix, value and the tags of the process. `latency` stands for `ms` or `d`. */
  readonly metric: string;
  readonly tags: readonly string[];
  /** The tags of the relay's line, if they differ. Undefined if there is no such line. */
  readonly ours?: {
    readonly tags: readonly string[] | undefined;
    readonly does: string;
    readonly subject: string;
  };
}

const UNKNOWN = "sdk_key:unknown";

/** What the relay offers upstream for JSON. */
const OFFERED = "accept-encoding:[Gzip, Brotli, Zstd]";

const fromUpstream = (
  outcome: "GotData" | "NoData",
  path: string,
  encodings: readonly string[],
  name: string,
): Recorded => ({
  name: `HttpDataProvider${outcome}, ${name}`,
  metric: `HttpDataProvider${outcome}.latency`,
  tags: [KNOWN, path, LCUT, ...encodings],
  ours: {
    tags: [KNOWN, path, LCUT, OFFERED, ...(outcome === "GotData" ? ["content-encoding:br"] : [])],
    does: "one request serves all encodings: the tags are what the relay offers upstream, and what upstream chose",
    subject: ENCODINGS,
  },
});

/** Requests with an SDK key that the relay answers 400 without asking upstream. */
const ofInvalidKey = (outcome: string, key: string, path: string): Recorded => ({
  name: `HttpDataProvider${outcome} of the key "${key}", ${path}`,
  metric: `HttpDataProvider${outcome}.latency`,
  tags: [`sdk_key:${key}`, path, LCUT, "accept-encoding:[PlainText]", "content-encoding:plain_text"],
  ours: { tags: undefined, does: "does not ask upstream for such a key", subject: CLIENT_VALUES },
});

const ofRejectedKey = (key: string, encodings: string): Recorded => ({
  name: `HttpDataProviderError of ${key}`,
  metric: "HttpDataProviderError.latency",
  tags: [`sdk_key:${key}`, V2, "lcut:0", `accept-encoding:${encodings}`],
  ours: {
    tags: [UNKNOWN, V2, "lcut:0", OFFERED, "reason:unauthorized"],
    does: "sdk_key is unknown for keys without cached config; the reason is added",
    subject: CLIENT_VALUES,
  },
});

const PLAIN = ["accept-encoding:[PlainText]", "content-encoding:plain_text"];
const NONE = ["accept-encoding:[]", "content-encoding:plain_text"];
const BR = ["accept-encoding:[Gzip, Brotli]", "content-encoding:br"];

/** What both StatsD and Datadog got. */
const OF_HTTP: readonly Recorded[] = [
  ofRejectedKey("secret-bad1", "[]"),
  fromUpstream("GotData", V1, NONE, "v1 without Accept-Encoding"),
  fromUpstream("GotData", V2, BR, "v2 with gzip and br"),
  fromUpstream("NoData", V1, NONE, "v1 without Accept-Encoding"),
  fromUpstream("NoData", V2, BR, "v2 with gzip and br"),
  {
    name: "a path that does not exist",
    metric: "HttpServerRequestFailed.latency",
    tags: [
      "sdk_key:nope",
      "path:/nope",
      "lcut:0",
      "status_code:404",
      "accept-encoding:[]",
      "content-encoding:",
    ],
    ours: {
      tags: [UNKNOWN, "path:other", "lcut:0", "status_code:404", "accept-encoding:[]", "content-encoding:"],
      does: "sdk_key is unknown and path is other",
      subject: CLIENT_VALUES,
    },
  },
  {
    name: "an SDK key that upstream rejects",
    metric: "HttpServerRequestFailed.latency",
    tags: ["sdk_key:secret-bad1", V2, "lcut:0", "status_code:401", "accept-encoding:[]", "content-encoding:"],
    ours: {
      tags: [UNKNOWN, V2, "lcut:0", "status_code:401", "accept-encoding:[]", "content-encoding:"],
      does: "sdk_key is unknown",
      subject: CLIENT_VALUES,
    },
  },
  {
    name: "a health check",
    metric: "HttpServerRequestSuccess.latency",
    tags: [
      "sdk_key:health",
      "path:/v1/health",
      "lcut:0",
      "status_code:200",
      "accept-encoding:[]",
      "content-encoding:",
    ],
    ours: {
      tags: [
        UNKNOWN,
        "path:/v1/health",
        "lcut:0",
        "status_code:200",
        "accept-encoding:[]",
        "content-encoding:",
      ],
      does: "sdk_key is unknown, not the last segment of the path",
      subject: CLIENT_VALUES,
    },
  },
  {
    name: "log events",
    metric: "HttpServerRequestSuccess.latency",
    tags: [
      KNOWN,
      "path:/v1/log_event/",
      "lcut:0",
      "status_code:202",
      "accept-encoding:[]",
      "content-encoding:",
    ],
  },
  {
    name: "config specs v2 with gzip and br",
    metric: "HttpServerRequestSuccess.latency",
    tags: [KNOWN, V2, LCUT, "status_code:200", ...BR],
  },
  {
    name: "config specs v1 without Accept-Encoding",
    metric: "HttpServerRequestSuccess.latency",
    tags: [KNOWN, V1, LCUT, "status_code:200", "accept-encoding:[]", "content-encoding:"],
  },
  {
    name: "duplicate exposures",
    metric: "LogEventStoreDeduped.count",
    tags: [KNOWN, "path:/v1/log_event/", "accept-encoding:[]"],
    ours: {
      tags: [KNOWN, "path:/v1/log_event/"],
      does: "sends the line without the encodings",
      subject: ENCODINGS,
    },
  },
  ...["BytesLimit", "BytesUsed"].map((size) => ({
    name: `NginxCache${size}`,
    metric: `NginxCache${size}.gauge`,
    tags: [],
    ours: {
      tags: undefined,
      does: "sends nothing: there is no nginx",
      subject: "`NginxCacheBytesUsed`, `NginxCacheBytesLimit`",
    },
  })),
];

const refusedStream = (key: string, path: string): Recorded => ({
  name: `a rejected stream of ${key}, ${path}`,
  metric: "GrpcStreamingStreamUnauthorized.count",
  tags: [`sdk_key:${key}`, path, "accept-encoding:[PlainText]"],
  ours: {
    tags: ["accept-encoding:[PlainText]"],
    does: "counts it without SDK key and path, which may be made up",
    subject: REFUSED_STREAMS,
  },
});

const OF_GRPC: readonly Recorded[] = [
  refusedStream("secret-bad9", V2),
  {
    name: "a stream for version 3",
    metric: "GrpcStreamingStreamUnauthorized.count",
    tags: [KNOWN, "path:/v3/download_config_specs/", "accept-encoding:[PlainText]"],
    ours: {
      tags: undefined,
      does: "counts it in GrpcStreamRefused, by status code",
      subject: REFUSED_STREAMS,
    },
  },
  {
    name: "a stream without an SDK key",
    metric: "GrpcStreamingStreamedInitialized.count",
    tags: ["sdk_key:", V1, "accept-encoding:[PlainText]"],
    ours: {
      tags: undefined,
      does: "counts it in GrpcStreamRefused, by status code",
      subject: REFUSED_STREAMS,
    },
  },
  ...[V1, V2].map((path) => ({
    name: `a stream, ${path}`,
    metric: "GrpcStreamingStreamedInitialized.count",
    tags: [KNOWN, path, "accept-encoding:[PlainText]"],
  })),
  ofRejectedKey("secret-bad9", "[PlainText]"),
  ofInvalidKey("GotData", "", V1),
  ofInvalidKey("GotData", "", V2),
  ofInvalidKey("GotData", "secret/../x", V2),
  ofInvalidKey("NoData", "", V1),
  ofInvalidKey("NoData", "", V2),
  ofInvalidKey("NoData", "secret/../x", V2),
  fromUpstream("GotData", V1, PLAIN, "v1 by gRPC"),
  fromUpstream("GotData", V2, PLAIN, "v2 by gRPC"),
  fromUpstream("NoData", V1, PLAIN, "v1 by gRPC"),
  fromUpstream("NoData", V2, PLAIN, "v2 by gRPC"),
];

const LATENCY_TYPES = { statsd: "ms", datadog: "d" } as const;

function toRow(sink: GoldenRow["sink"], { name, metric, tags, ours }: Recorded): GoldenRow {
  const [, kind = ""] = metric.split(".");
  const type = { count: "c", gauge: "g", latency: LATENCY_TYPES[sink] }[kind];
  const toLine = (all: readonly string[]) => `${metric}|${type}|#${[...all, END].join(",")}`;
  return {
    name: `${sink}: ${name}`,
    original: toLine(tags),
    sink,
    ours: ours === undefined ? "same" : { does: ours.does, subject: ours.subject },
    line: ours === undefined ? toLine(tags) : ours.tags && toLine(ours.tags),
  };
}

/** Every distinct line that the original 4.1 sent for a fixed sequence of requests. */
export const GOLDEN_ROWS: readonly GoldenRow[] = [
  ...[...OF_HTTP, ...OF_GRPC].map((recorded) => toRow("statsd", recorded)),
  ...OF_HTTP.map((recorded) => toRow("datadog", recorded)),
];

/** A key of the length that the original shows whole in tags. */
export const SHORT_KEY = "secret-short-key-012";

/** What lines and the log show of a feed with this key that gets two versions between two batches. */
export const SHORT_KEY_ROWS = {
  tags: {
    name: "the tag sdk_key of a key of 20 characters",
    original: "the whole key",
    ours: { does: "10 characters and a digest", subject: "SDK keys in metric tags" },
  },
  log: {
    name: "SDK keys in the output of --debug-logging",
    original: "the first 20 characters",
    ours: { does: "10 characters and a digest", subject: "SDK keys in logs" },
  },
  lcut: {
    name: "the tag lcut of two versions in one batch",
    original: "that of each version",
    ours: { does: "that of the newest", subject: "tag `lcut`" },
  },
} as const satisfies Readonly<Record<string, DropInRow>>;
