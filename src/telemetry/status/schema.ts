/** `/status.json`. Names stay; more may come. Sizes are in bytes, ages in seconds, rates over the last 10 s. */
export interface StatusReport {
  /** By the relay's clock, as every moment in here. */
  readonly now: string;
  /** `not_ready` is what the probes say; `degraded` where `problems` are no reason for that. */
  readonly state: "ok" | "degraded" | "not_ready";
  /** The gravest first. */
  readonly problems: readonly Problem[];
  readonly relay: RelayStatus;
  readonly traffic: TrafficStatus;
  readonly upstream: UpstreamStatus;
  /** Null where CACHE is another. */
  readonly redis: RedisStatus | null;
  readonly local: LocalStatus | null;
  /** Null without `--proxy-id-lists`. */
  readonly id_lists: IdListsStatus | null;
  readonly events: EventsStatus;
  /** Where metrics are sent to; Prometheus, which fetches them, is none of these. */
  readonly sinks: readonly SinkStatus[];
  /** Null without TLS. */
  readonly certificate: CertificateStatus | null;
  readonly feeds_total: number;
  readonly feeds_by_state: Readonly<Record<FeedState, number>>;
  /** At most 1,000: those that need looking at first, then those with most streams and requests. */
  readonly feeds: readonly FeedStatus[];
}

export interface Problem {
  readonly kind: ProblemKind;
  readonly severity: "critical" | "warning";
  /** For people; the detail as well. */
  readonly text: string;
  readonly since: Moment;
  readonly detail: string | null;
}

export type ProblemKind =
  | "not_ready"
  | "stale_feeds"
  | "upstream_failing"
  | "feeds_failing"
  | "keys_unauthorized"
  /** Requests to upstream wait for others: `-u` is too small, or upstream too slow for the interval. */
  | "polls_delayed"
  | "redis_down"
  | "redis_refuses_writes"
  | "redis_behind"
  | "redis_permission_missing"
  | "backup_unusable"
  | "local_unusable"
  | "local_failing"
  | "id_lists_failing"
  | "id_lists_folder_unusable"
  | "events_delayed"
  | "spool_unusable"
  | "sink_failing"
  | "certificate_expires"
  | "certificate_refused"
  | "allowed_keys_refused"
  | "unexpected_error";

export interface RelayStatus {
  readonly version: string;
  /** That the executable was built from; `source` where it runs from source. */
  readonly commit: string;
  readonly bun_version: string;
  readonly mode: string;
  readonly cache: string;
  readonly host: string;
  readonly pid: number;
  readonly started_at: string;
  readonly uptime_s: number;
  readonly memory_bytes: number;
}

export interface TrafficStatus {
  /** Over HTTP; RPCs that come that way among them. */
  readonly requests_per_s: number;
  /** With a status of 400 or more. */
  readonly failed_per_s: number;
  /** Unary, on whatever port. */
  readonly rpcs_per_s: number;
  /** Not to be answered from memory at once. */
  readonly in_flight: number;
  readonly streams: number;
  readonly max_streams: number;
  readonly sdk_keys: number;
  readonly max_sdk_keys: number;
  /** By protocol. */
  readonly connections: Readonly<Record<string, number>>;
}

export interface UpstreamStatus {
  readonly url: string;
  readonly through_proxy: boolean;
  readonly polling_interval_s: number;
  /** A feed is stale if upstream has not confirmed it for longer: three intervals, and 60 s at least behind another relay. */
  readonly stale_after_s: number;
  /** `unknown` until it was asked; `partly_failing` where some feeds have answers and others have not. */
  readonly state: "unknown" | "ok" | "partly_failing" | "failing";
  readonly failing_since: Moment;
  readonly failing_feeds: number;
  /** When any feed last had a good answer. */
  readonly last_success_at: Moment;
  /** When the stale feed was confirmed that was confirmed longest ago; null where none is stale, or it never was. */
  readonly last_known_good_at: Moment;
  readonly last_error: PollError | null;
}

export interface RedisStatus {
  /** Without user and password. */
  readonly address: string;
  readonly state: "ok" | "refuses_writes" | "down";
  /** Since it is not ok. */
  readonly since: Moment;
  readonly reason: string | null;
  readonly fleet_polling: boolean;
  /** Feeds of which Redis is not known to have what is held here; null before the backup is in use. */
  readonly behind_feeds: number | null;
  /** For how long the one that waits for longest has waited; 0 where none does. */
  readonly lag_s: number | null;
  readonly last_write_at: Moment;
  readonly last_read_at: Moment;
  readonly last_error: TimedError | null;
}

export interface LocalStatus {
  readonly path: string;
  /** `failing`: what is held could not be written; `unusable`: the relay goes on with memory only. */
  readonly state: "ok" | "failing" | "unusable";
  readonly since: Moment;
  readonly reason: string | null;
  /** Of the file and its log. */
  readonly bytes: number | null;
  readonly max_bytes: number;
  readonly behind_feeds: number | null;
  readonly lag_s: number | null;
  readonly last_error: TimedError | null;
}

export interface IdListsStatus {
  /** `passed_on`: the folder can't be used, clients are sent to upstream for the files. */
  readonly state: "ok" | "failing" | "passed_on";
  /** On disk, whole. */
  readonly files: number;
  readonly bytes: number;
  readonly max_bytes: number;
  readonly failing_lists: number;
  /** At most 20 of them, those that have failed for longest first. */
  readonly failing: readonly IdListFailure[];
}

interface IdListFailure {
  readonly list: string;
  readonly since: Moment;
  readonly detail: string;
}

export interface EventsStatus {
  readonly upstream_url: string;
  /** What waits outlives the process. */
  readonly durable: boolean;
  /** The folder of the spool; null where none is wanted. */
  readonly spool_path: string | null;
  readonly events: number;
  readonly bytes: number;
  /** 0 for empty, 1 for full. */
  readonly filled: number;
  /** `delayed`: what was tried last was not taken. */
  readonly state: "ok" | "delayed";
  readonly delayed_since: Moment;
  readonly last_sent_at: Moment;
  readonly last_error: TimedError | null;
  /** Since the start. */
  readonly accepted: number;
  readonly forwarded: number;
  readonly dropped: number;
}

export interface SinkStatus {
  readonly name: string;
  readonly state: "ok" | "failing";
  readonly since: Moment;
  readonly reason: string | null;
}

export interface CertificateStatus {
  readonly serial: string;
  readonly expires_at: Moment;
  /** New files that can't be used; null where the newest are. */
  readonly refused: TimedError | null;
}

/**
 * `fresh`: confirmed by upstream lately. `failing`: the last poll failed, what is held is not stale yet, or nothing
 * is. `stale`: not confirmed for longer than `stale_after_s`, or never though upstream was asked. `never_polled`: upstream has not said anything yet.
 */
export type FeedState = "fresh" | "failing" | "stale" | "never_polled";

export interface FeedStatus {
  /** Masked. */
  readonly sdk_key: string;
  readonly version: "v1" | "v2";
  readonly format: "json" | "proto";
  readonly state: FeedState;
  readonly preloaded: boolean;
  /** Null, as all that hangs on it, where nothing is held. */
  readonly lcut: number | null;
  readonly lcut_at: Moment;
  readonly lcut_age_s: number | null;
  readonly source: "upstream" | "redis" | "local" | null;
  readonly received_at: Moment;
  /** When upstream last said that it is the newest. */
  readonly confirmed_at: Moment;
  readonly last_poll: Poll | null;
  /** Kept after it is over. */
  readonly last_error: PollError | null;
  /** Null where the last poll did not fail. */
  readonly failing_since: Moment;
  /** By content coding, as far as it is kept ready. */
  readonly bytes: Readonly<
    Partial<Record<"identity" | "gzip" | "br" | "zstd" | "statsig-br", number>>
  > | null;
  readonly streams: number;
  /** Of this key and version, in any format; null where it is counted with others. */
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
  /** A cause of failure, a reason of refusal, or `unauthorized`. */
  readonly reason: string;
}

/** A moment as ISO 8601 in UTC; null where there was none. */
type Moment = string | null;

/** What a Date can be; an lcut may be more. */
const MAX_DATE_MS = 8.64e15;

/** `ms` since the Unix epoch. */
export function toIsoOrNull(ms: number | undefined): Moment {
  return ms === undefined || Math.abs(ms) > MAX_DATE_MS ? null : toIso(ms);
}

export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}

/** Seconds from then to now, to a tenth; never less than 0, whatever clocks say. */
export function ageSeconds(now: number, then: number): number {
  return Math.max(0, Math.round((now - then) / 100) / 10);
}
