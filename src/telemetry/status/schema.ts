/**
 * The body of `/status.json`. Fields are never renamed or removed; new ones may be added. Sizes are in bytes, ages in seconds;
 * rates cover the last 5 to 10 s.
 */
export interface StatusReport {
  /** The relay's clock, which all timestamps are based on. */
  readonly now: string;
  /** `not_ready` if the readiness probes fail; `degraded` if there are other problems. */
  readonly state: "ok" | "degraded" | "not_ready";
  /** Critical problems first. */
  readonly problems: readonly Problem[];
  readonly relay: RelayStatus;
  readonly traffic: TrafficStatus;
  readonly upstream: UpstreamStatus;
  /** Null if CACHE is not `redis`. */
  readonly redis: RedisStatus | null;
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
  readonly feeds_total: number;
  readonly feeds_by_state: Readonly<Record<FeedState, number>>;
  /** At most 1,000. Feeds with problems come first, then those with the most streams and requests. */
  readonly feeds: readonly FeedStatus[];
}

export interface Problem {
  readonly kind: ProblemKind;
  readonly severity: "critical" | "warning";
  /** Text and detail are for people and may change. */
  readonly text: string;
  readonly since: Timestamp;
  readonly detail: string | null;
}

export type ProblemKind =
  | "not_ready"
  | "stale_feeds"
  | "upstream_failing"
  | "feeds_failing"
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
  | "serving_threads_missing"
  | "unexpected_error";

export interface RelayStatus {
  readonly version: string;
  /** The commit that the executable was built from; `source` if the relay runs from source. */
  readonly commit: string;
  readonly bun_version: string;
  readonly mode: string;
  readonly cache: string;
  /** Whether config specs come from `--bootstrap-path` alone, and nothing is requested from Statsig. */
  readonly offline: boolean;
  readonly host: string;
  readonly pid: number;
  readonly started_at: string;
  readonly uptime_s: number;
  readonly memory_bytes: number;
  /** Threads that serve clients: fewer run than wanted while one that died or hung is being replaced. */
  readonly serving_threads: { readonly wanted: number; readonly running: number };
}

export interface TrafficStatus {
  /** Requests over HTTP, including RPCs over HTTP. */
  readonly requests_per_s: number;
  /** Requests with a response status of 400 or higher. */
  readonly failed_per_s: number;
  /** Unary RPCs on all ports. */
  readonly rpcs_per_s: number;
  /** Requests in flight that cannot be served from memory at once. */
  readonly in_flight: number;
  readonly streams: number;
  readonly max_streams: number;
  readonly sdk_keys: number;
  readonly max_sdk_keys: number;
  /** Open connections by protocol. */
  readonly connections: Readonly<Record<string, number>>;
  readonly deltas: DeltaStatus;
}

/** Updates of clients that accept deltas, since the start. */
export interface DeltaStatus {
  /** `--delta-history`: the number of versions from which there are deltas; 0 if deltas are off. */
  readonly versions: number;
  readonly sent: number;
  /** Whole versions that were sent because there was no delta. */
  readonly full: number;
  readonly saved_bytes: number;
}

export interface UpstreamStatus {
  readonly url: string;
  readonly through_proxy: boolean;
  readonly polling_interval_s: number;
  /** A feed that upstream has not confirmed for this time is stale: three intervals; behind another relay at least 60 s. */
  readonly stale_after_s: number;
  /** `unknown` before the first response, and offline; `partly_failing` if polls of some feeds fail. */
  readonly state: "unknown" | "ok" | "partly_failing" | "failing";
  readonly failing_since: Timestamp;
  readonly failing_feeds: number;
  /** The last successful poll of any feed. */
  readonly last_success_at: Timestamp;
  /** The oldest confirmation among the stale feeds; null if no feed is stale, or none was ever confirmed. */
  readonly last_known_good_at: Timestamp;
  readonly last_error: PollError | null;
  /** The servers of `STATSIG_ENDPOINT`, the preferred one first. `url` and `through_proxy` above are those of the first. */
  readonly endpoints: readonly EndpointStatus[];
}

export interface EndpointStatus {
  /** Without user name and password. */
  readonly url: string;
  readonly through_proxy: boolean;
  /** Whether it is asked first now. */
  readonly in_use: boolean;
  /**
   * `unknown` before the first response; `failing` after two failures without a response between them; `lagging` if it has an older
   * version than the relay, or is a relay that has not had a confirmation for a minute.
   */
  readonly state: "unknown" | "ok" | "lagging" | "failing";
  readonly failing_since: Timestamp;
  readonly lagging_since: Timestamp;
  readonly last_success_at: Timestamp;
  /** The last request that was of no use, even if later ones succeeded. */
  readonly last_error: PollError | null;
  /** The average time until a response begins; null before the first one. */
  readonly latency_ms: number | null;
}

export interface RedisStatus {
  /** Without user name and password. */
  readonly address: string;
  readonly state: "ok" | "refuses_writes" | "down";
  /** When `state` stopped being `ok`. */
  readonly since: Timestamp;
  readonly reason: string | null;
  readonly fleet_polling: boolean;
  /** The number of feeds whose cached version Redis may not have; null before the backup is in use. */
  readonly behind_feeds: number | null;
  /** How long the oldest write has been pending; 0 if none is. */
  readonly lag_s: number | null;
  readonly last_write_at: Timestamp;
  readonly last_read_at: Timestamp;
  readonly last_error: TimedError | null;
}

export interface LocalStatus {
  readonly path: string;
  /** `failing`: cached versions could not be written. `unusable`: the relay serves from memory only. */
  readonly state: "ok" | "failing" | "unusable";
  readonly since: Timestamp;
  readonly reason: string | null;
  /** The size of the database and its write-ahead log. */
  readonly bytes: number | null;
  readonly max_bytes: number;
  readonly behind_feeds: number | null;
  readonly lag_s: number | null;
  readonly last_error: TimedError | null;
}

/** Config specs in files. */
export interface BootstrapStatus {
  readonly path: string;
  /** The number of files that can be served. */
  readonly files: number;
  readonly unusable_files: number;
  /** At most 20. */
  readonly unusable: readonly { readonly file: string; readonly reason: string }[];
  /** Why the folder cannot be read, or has nothing; null if it has something. */
  readonly reason: string | null;
  /** When files were read last, at the start or after a change. */
  readonly read_at: Timestamp;
}

export interface IdListsStatus {
  /** `passed_on`: the folder is unusable, and clients fetch the files from upstream. */
  readonly state: "ok" | "failing" | "passed_on";
  /** Complete files on disk. */
  readonly files: number;
  readonly bytes: number;
  readonly max_bytes: number;
  readonly failing_lists: number;
  /** At most 20, the longest failing first. */
  readonly failing: readonly IdListFailure[];
}

interface IdListFailure {
  readonly list: string;
  readonly since: Timestamp;
  readonly detail: string;
}

export interface EventsStatus {
  readonly upstream_url: string;
  /** Whether queued events survive the process. */
  readonly durable: boolean;
  /** The folder of the spool; null if none is configured. */
  readonly spool_path: string | null;
  readonly events: number;
  readonly bytes: number;
  /** 0 for empty, 1 for full. */
  readonly filled: number;
  /** `delayed`: the last attempt to forward events failed. */
  readonly state: "ok" | "delayed";
  readonly delayed_since: Timestamp;
  readonly last_sent_at: Timestamp;
  readonly last_error: TimedError | null;
  /** Since the start. */
  readonly accepted: number;
  readonly forwarded: number;
  readonly dropped: number;
}

export interface SinkStatus {
  readonly name: string;
  readonly state: "ok" | "failing";
  readonly since: Timestamp;
  readonly reason: string | null;
}

export interface CertificateStatus {
  readonly serial: string;
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

export interface FeedStatus {
  /** Masked. */
  readonly sdk_key: string;
  readonly version: "v1" | "v2";
  readonly format: "json" | "proto";
  readonly state: FeedState;
  readonly preloaded: boolean;
  /** The cached version. This and the fields derived from it are null if the feed is not cached. */
  readonly lcut: number | null;
  readonly lcut_at: Timestamp;
  readonly lcut_age_s: number | null;
  readonly source: "upstream" | "redis" | "local" | "bootstrap" | null;
  readonly received_at: Timestamp;
  /** When upstream last confirmed that the cached version is the newest. */
  readonly confirmed_at: Timestamp;
  readonly last_poll: Poll | null;
  /** Kept after later polls have succeeded. */
  readonly last_error: PollError | null;
  /** Null if the last poll did not fail. */
  readonly failing_since: Timestamp;
  /** Sizes by content coding, for the codings that are kept in memory. */
  readonly bytes: Readonly<
    Partial<Record<"identity" | "gzip" | "br" | "zstd" | "statsig-br", number>>
  > | null;
  readonly streams: number;
  /** Since when gRPC clients do not get the feed because of its size; null if they do, or none asks for it. */
  readonly too_large_for_grpc_since: Timestamp;
  /** Requests for this key and version in any format; null if the key has no series of its own. */
  readonly requests_per_s: number | null;
}

export interface Poll {
  readonly at: string;
  readonly outcome: PollOutcome;
  readonly took_ms: number;
}

export type PollOutcome = "updated" | "unchanged" | "refused" | "failed" | "unauthorized";

export interface TimedError {
  readonly at: string;
  readonly detail: string;
}

export interface PollError extends TimedError {
  /** The cause of a failure, the reason of a rejection, or `unauthorized`. */
  readonly reason: string;
}

/** ISO 8601 in UTC; null if it has not happened. */
type Timestamp = string | null;

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
