import type { LocalStatus, RedisStatus } from "./schema-backup.ts";
import type { FleetStatus } from "./schema-fleet.ts";
import type { SdkStatus, TrafficStatus } from "./schema-traffic.ts";
import type { TimedError, Timestamp } from "./timestamp.ts";

/**
 * The body of `/status.json`. Fields are never renamed or removed; new ones may be added. Sizes are in bytes, ages in seconds;
 * rates cover the last 5 to 10 s.
 */
export interface StatusReport {
  /** The relay's clock, which all timestamps are based on: RFC 3339, in UTC. */
  readonly now: string;
  /** `not_ready` if the readiness probes fail; `degraded` if there are other problems. */
  readonly state: "ok" | "degraded" | "not_ready";
  /** Critical problems first. */
  readonly problems: readonly Problem[];
  readonly relay: RelayStatus;
  readonly traffic: TrafficStatus;
  /** Which SDKs asked in the last 24 h, those with the most requests first. */
  readonly sdks: readonly SdkStatus[];
  readonly upstream: UpstreamStatus;
  /** Null if CACHE is not `redis`. */
  readonly redis: RedisStatus | null;
  /** The relays that share this Redis. Null if CACHE is not `redis`. */
  readonly fleet: FleetStatus | null;
  /** Null if CACHE is not `local`. */
  readonly local: LocalStatus | null;
  /** Null without `--bootstrap-path`. */
  readonly bootstrap: BootstrapStatus | null;
  /** Null without `--proxy-id-lists`. */
  readonly id_lists: IdListsStatus | null;
  readonly events: EventsStatus;
  /** The destinations of metrics and traces. Prometheus scrapes the relay and is not among them. */
  readonly sinks: readonly SinkStatus[];
  /** Null without TLS. */
  readonly certificate: CertificateStatus | null;
  /** SDK keys that are pinned to a version; at most 100. */
  readonly pins: readonly PinStatus[];
  /** Feeds that are cached or preloaded. */
  readonly feeds_total: number;
  /** The number of feeds in each state. */
  readonly feeds_by_state: Readonly<Record<FeedState, number>>;
  /** At most 1,000. Feeds with problems come first, then those with the most streams and requests. */
  readonly feeds: readonly FeedStatus[];
}

/** Something that an operator should know. */
export interface Problem {
  /** A stable name, for programs. */
  readonly kind: ProblemKind;
  /** `critical`: clients are or will be affected soon. */
  readonly severity: "critical" | "warning";
  /** Text and detail are for people and may change. */
  readonly text: string;
  /** When it began; null if that is not known. */
  readonly since: Timestamp;
  /** The cause as it was reported, such as the error of the last request. */
  readonly detail: string | null;
  /** What to do first, in whole sentences. */
  readonly next_step: string;
  /** The document of the relay and its section, such as `redis.md, Required permissions`. */
  readonly doc: string;
}

/** An SDK key whose newer versions are not served. */
export interface PinStatus {
  /** The SDK key, masked. */
  readonly key: string;
  /** The pinned version as upstream calls it; null if this relay has no version of the key. */
  readonly lcut: number | null;
  /** An operator, over the operator API, or `--pin`. */
  readonly source: "operator" | "config";
  /** Null for `--pin`. */
  readonly since: Timestamp;
  /** The address of the operator's client; null for `--pin`. */
  readonly by: string | null;
  /** What the operator gave as the reason. */
  readonly reason: string | null;
  /** The number of newer versions that this relay knows. */
  readonly held_back: number;
  /** The number of feeds that serve another version, since this relay does not have the pinned one. */
  readonly missing_feeds: number;
  /** Whether the pin outlives the process. */
  readonly stored: boolean;
}

export type ProblemKind =
  | "not_ready"
  | "stale_feeds"
  | "upstream_failing"
  | "feeds_failing"
  /** One of several upstream endpoints. */
  | "endpoint_failing"
  | "keys_unauthorized"
  /** Polls wait for a request slot: `-u` is too small, or upstream is too slow for the interval. */
  | "polls_delayed"
  /** gRPC clients do not get the newest version, which is larger than `--grpc-max-message-size-in-mb`. */
  | "feeds_too_large_for_grpc"
  /** gRPC health is NOT_SERVING, since most of `--grpc-max-concurrent-streams` are open. */
  | "streams_near_max"
  | "redis_down"
  | "redis_refuses_writes"
  | "redis_behind"
  | "redis_token_failed"
  | "redis_permission_missing"
  | "backup_unusable"
  | "local_unusable"
  | "local_failing"
  /** Files of `--bootstrap-path` cannot be served, or there is none. */
  | "bootstrap_unusable"
  | "id_lists_failing"
  | "id_lists_folder_unusable"
  | "events_delayed"
  | "spool_unusable"
  | "sink_failing"
  | "certificate_expires"
  | "certificate_refused"
  | "allowed_keys_refused"
  | "key_pinned"
  | "pinned_version_missing"
  | "serving_threads_missing"
  | "unexpected_error";

/** The process. */
export interface RelayStatus {
  /** The version of the relay. */
  readonly version: string;
  /** The commit that the executable was built from; `source` if the relay runs from source. */
  readonly commit: string;
  /** The version of Bun that runs it; empty on another runtime. */
  readonly bun_version: string;
  /** The runtime that runs it, with its version: `Bun 1.4.5`. */
  readonly runtime: string;
  /** MODE: which protocols are served. */
  readonly mode: string;
  /** CACHE: where the backup is. */
  readonly cache: string;
  /** Whether config specs come from `--bootstrap-path` alone, and nothing is requested from Statsig. */
  readonly offline: boolean;
  /** The host name of the machine or pod. */
  readonly host: string;
  /** The ID of the process. */
  readonly pid: number;
  /** When the process started. */
  readonly started_at: string;
  /** Seconds since the start. */
  readonly uptime_s: number;
  /** The resident set size of the process. */
  readonly memory_bytes: number;
  /** Threads that serve clients: fewer run than wanted while one that died or hung is being replaced. */
  readonly serving_threads: {
    /** As many as the options say. */
    readonly wanted: number;
    /** Those that serve now. */
    readonly running: number;
  };
}

/** Upstream as the polls see it. */
export interface UpstreamStatus {
  /** `STATSIG_ENDPOINT`, without user name and password. */
  readonly url: string;
  /** Whether requests go through an HTTP proxy. */
  readonly through_proxy: boolean;
  /** `--polling-interval-in-s`. */
  readonly polling_interval_s: number;
  /** A feed that upstream has not confirmed for this time is stale: three intervals; behind another relay at least 60 s. */
  readonly stale_after_s: number;
  /** `unknown` before the first response, and offline; `partly_failing` if polls of some feeds fail. */
  readonly state: "unknown" | "ok" | "partly_failing" | "failing";
  /** When the first of the failing feeds began to fail; null if none fails. */
  readonly failing_since: Timestamp;
  /** The number of feeds whose last poll failed. */
  readonly failing_feeds: number;
  /** The last successful poll of any feed. */
  readonly last_success_at: Timestamp;
  /** The oldest confirmation among the stale feeds; null if no feed is stale, or none was ever confirmed. */
  readonly last_known_good_at: Timestamp;
  /** The latest error of a failing feed, or the last one of any. */
  readonly last_error: PollError | null;
  /** The servers of `STATSIG_ENDPOINT`, the preferred one first. `url` and `through_proxy` above are those of the first. */
  readonly endpoints: readonly EndpointStatus[];
}

/** A server of `STATSIG_ENDPOINT`. */
export interface EndpointStatus {
  /** Without user name and password. */
  readonly url: string;
  /** Whether requests to it go through an HTTP proxy. */
  readonly through_proxy: boolean;
  /** Whether it is asked first now. */
  readonly in_use: boolean;
  /**
   * `unknown` before the first response; `failing` after two failures without a response between them; `lagging` if it has an older
   * version than the relay, or is a relay that has not had a confirmation for a minute.
   */
  readonly state: "unknown" | "ok" | "lagging" | "failing";
  /** When `state` became `failing`; null if it is not. */
  readonly failing_since: Timestamp;
  /** When it was first found to be behind; null if it is not. */
  readonly lagging_since: Timestamp;
  /** The last response that was of use. */
  readonly last_success_at: Timestamp;
  /** The last request that was of no use, even if later ones succeeded. */
  readonly last_error: PollError | null;
  /** The average time until a response begins; null before the first one. */
  readonly latency_ms: number | null;
}

/** Config specs in files. */
export interface BootstrapStatus {
  /** `--bootstrap-path`. */
  readonly path: string;
  /** The number of files that can be served. */
  readonly files: number;
  /** The number of files that cannot. */
  readonly unusable_files: number;
  /** Some of them; at most 20. */
  readonly unusable: readonly {
    /** The name of the file. */
    readonly file: string;
    /** Why it cannot be served. */
    readonly reason: string;
  }[];
  /** Why the folder cannot be read, or has nothing; null if it has something. */
  readonly reason: string | null;
  /** When files were read last, at the start or after a change. */
  readonly read_at: Timestamp;
}

/** The files of ID lists on disk. */
export interface IdListsStatus {
  /** `passed_on`: the folder is unusable, and clients fetch the files from upstream. */
  readonly state: "ok" | "failing" | "passed_on";
  /** Complete files on disk. */
  readonly files: number;
  /** The size of these files. */
  readonly bytes: number;
  /** `--id-lists-max-in-mb`, in bytes. */
  readonly max_bytes: number;
  /** Lists that are not up to date. */
  readonly failing_lists: number;
  /** At most 20, the longest failing first. */
  readonly failing: readonly IdListFailure[];
}

/** A list that is not up to date. */
interface IdListFailure {
  /** The name of the list. */
  readonly list: string;
  /** When it began to fail. */
  readonly since: Timestamp;
  /** Why it fails. */
  readonly detail: string;
}

/** Log events on their way to Statsig. */
export interface EventsStatus {
  /** `LOG_EVENT_STATSIG_ENDPOINT`, without user name and password. */
  readonly upstream_url: string;
  /** Whether queued events survive the process. */
  readonly durable: boolean;
  /** The folder of the spool; null if none is configured. */
  readonly spool_path: string | null;
  /** Events that wait to be forwarded. */
  readonly events: number;
  /** The size of these events. */
  readonly bytes: number;
  /** 0 for empty, 1 for full. */
  readonly filled: number;
  /** `delayed`: the last attempt to forward events failed. */
  readonly state: "ok" | "delayed";
  /** When `state` stopped being `ok`. */
  readonly delayed_since: Timestamp;
  /** When upstream last accepted events. */
  readonly last_sent_at: Timestamp;
  /** Kept after later events were accepted. */
  readonly last_error: TimedError | null;
  /** Since the start. */
  readonly accepted: number;
  /** Events that upstream accepted since the start. */
  readonly forwarded: number;
  /** Events that were dropped for good since the start. */
  readonly dropped: number;
}

/** A destination of metrics, traces or profiles. */
export interface SinkStatus {
  /** `statsd`, `datadog`, `statsig`, `otlp`, `otlp-traces` or `gcp-profiler`. */
  readonly name: string;
  /** Whether it accepts what is sent. */
  readonly state: "ok" | "failing";
  /** When it began to fail. */
  readonly since: Timestamp;
  /** Why it fails. */
  readonly reason: string | null;
}

/** The certificate that clients get. */
export interface CertificateStatus {
  /** The serial number of the server certificate in use. */
  readonly serial: string;
  /** When it expires. */
  readonly expires_at: Timestamp;
  /** Why the newest files are not in use; null if they are. */
  readonly refused: TimedError | null;
}

/**
 * - `fresh`: upstream confirmed the cached version within `stale_after_s`.
 * - `failing`: the last poll failed, and the feed is not stale yet or not cached.
 * - `stale`: not confirmed for longer than `stale_after_s`, or never although it was polled.
 * - `never_polled`: not polled yet, or served offline.
 */
export type FeedState = "fresh" | "failing" | "stale" | "never_polled";

/** An SDK key in one API version and format. */
export interface FeedStatus {
  /** Masked. */
  readonly sdk_key: string;
  /** The API version. */
  readonly version: "v1" | "v2";
  /** The format of the config specs. */
  readonly format: "json" | "proto";
  /** What is known of the feed. */
  readonly state: FeedState;
  /** Whether it is of a preloaded SDK key. */
  readonly preloaded: boolean;
  /** The cached version. This and the fields derived from it are null if the feed is not cached. */
  readonly lcut: number | null;
  /** `lcut` as a time. */
  readonly lcut_at: Timestamp;
  /** Seconds since `lcut`. */
  readonly lcut_age_s: number | null;
  /** Where the cached version came from. */
  readonly source: "upstream" | "redis" | "local" | "bootstrap" | null;
  /** When this relay got the cached version. */
  readonly received_at: Timestamp;
  /** When upstream last confirmed that the cached version is the newest. */
  readonly confirmed_at: Timestamp;
  /** Null if this relay has not polled the feed. */
  readonly last_poll: Poll | null;
  /**
   * With `--fleet-polling`, the host name of the relay that last claimed the feed, to poll it for all; its ID if it is gone. Null if
   * none did lately.
   */
  readonly claimed_by: string | null;
  /** Kept after later polls have succeeded. */
  readonly last_error: PollError | null;
  /** Null if the last poll did not fail. */
  readonly failing_since: Timestamp;
  /** Sizes by content coding, for the codings that are kept in memory. */
  readonly bytes: Readonly<
    Partial<Record<"identity" | "gzip" | "br" | "zstd" | "statsig-br", number>>
  > | null;
  /** Open streams of the feed over all protocols. */
  readonly streams: number;
  /** Since when gRPC clients do not get the feed because of its size; null if they do, or none asks for it. */
  readonly too_large_for_grpc_since: Timestamp;
  /** Requests for this key and version in any format; null if the key has no series of its own. */
  readonly requests_per_s: number | null;
}

/** The last request of this relay to upstream for a feed. */
export interface Poll {
  /** When it ended. */
  readonly at: string;
  /** What came of it. */
  readonly outcome: PollOutcome;
  /** How long the request took. */
  readonly took_ms: number;
}

export type PollOutcome = "updated" | "unchanged" | "refused" | "failed" | "unauthorized";

/** The error of a request to upstream. */
export interface PollError extends TimedError {
  /** The cause of a failure, the reason of a rejection, or `unauthorized`. */
  readonly reason: string;
}

/** The maximum of a Date. An lcut can be larger. */
const MAX_DATE_MS = 8.64e15;

/** Formats ms since the Unix epoch. Returns null if undefined, or outside of the range of a Date. */
export function toIsoOrNull(ms: number | undefined): Timestamp {
  return ms === undefined || Math.abs(ms) > MAX_DATE_MS ? null : toIso(ms);
}

export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}

/** Returns the seconds from `then` to `now`, rounded to tenths; 0 if the clock was set back. */
export function ageSeconds(now: number, then: number): number {
  return Math.max(0, Math.round((now - then) / 100) / 10);
}
