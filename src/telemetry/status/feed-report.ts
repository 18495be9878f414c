import type { Moment } from "./moment.ts";

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

export interface HappenedError {
  readonly at: string;
  readonly detail: string;
}

export interface PollError extends HappenedError {
  /** A cause of failure, a reason of refusal, or `unauthorized`. */
  readonly reason: string;
}
