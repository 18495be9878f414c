import type { Instant } from "../platform/clock.ts";
import type { Feed } from "./feed.ts";
import type { RawPayload, RefusalReason } from "./payload/payload.ts";
import type { SnapshotSource } from "./snapshot.ts";

/** Why upstream gave no answer that can be used. */
export type FailureCause =
  /** No connection came about, or it broke before an answer began. */
  | "unreachable"
  /** Connected, but no answer, no further byte of it, or too slow a trickle. */
  | "timeout"
  /** Answered with a status that is neither success nor 401 or 403. */
  | "status"
  /** The answer broke off, or made no sense. */
  | "broken";

/** What an upstream that is a relay says of the version that it has. Statsig's own servers say nothing of the kind. */
export interface RelayedOrigin {
  /** Where that relay, or the relay before it, had the version from. */
  readonly source: SnapshotSource;
  /** When Statsig confirmed the version to the first relay; undefined if nobody knows. */
  readonly confirmed: Instant | undefined;
}

export type FetchOutcome =
  | { readonly kind: "payload"; readonly raw: RawPayload; readonly relayed?: RelayedOrigin | undefined }
  /** Not read to its end. */
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly detail: string }
  | { readonly kind: "no_update"; readonly relayed?: RelayedOrigin | undefined }
  | { readonly kind: "unauthorized"; readonly status: number }
  | FetchFailure;

export interface FetchFailure {
  readonly kind: "failed";
  readonly cause: FailureCause;
  /** For people; never holds an SDK key. */
  readonly detail: string;
  /** How long upstream asked us to stay away, in ms. */
  readonly retryAfterMs?: number;
}

/** Where config specs come from. */
export interface SpecSource {
  /**
   * One request for what is newer than `sinceTime` (an lcut; 0 for all). Every expected ending is a value;
   * it never rejects but for `signal`, and it always ends by the source's own limits. `progressed` is called when the
   * answer begins, and with each piece of it.
   */
  fetchSpecs(
    feed: Feed,
    sinceTime: number,
    signal: AbortSignal,
    progressed?: () => void,
  ): Promise<FetchOutcome>;
}
