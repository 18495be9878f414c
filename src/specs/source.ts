import type { Instant } from "../platform/clock.ts";
import type { SharedBytes } from "../platform/shared-bytes.ts";
import type { VersionId } from "./deltas/delta.ts";
import type { Feed } from "./feed.ts";
import type { RawPayload, RefusalReason } from "./payload/payload.ts";
import type { SnapshotSource } from "./snapshot.ts";

/** Why upstream sent no usable response. */
export type FailureCause =
  /** The connection failed, or broke before a response began. */
  | "unreachable"
  /** Connected, but the response did not begin, stalled, or came too slowly. */
  | "timeout"
  /** The response has a status that is neither success nor 401 or 403. */
  | "status"
  /** The response broke off, or is invalid. */
  | "broken";

/** What an upstream relay says about its version. Statsig's own servers do not send this. */
export interface RelayedOrigin {
  /** Where the first relay of the chain got the version. */
  readonly source: SnapshotSource;
  /** When Statsig confirmed the version to the first relay; undefined if that is not known. */
  readonly confirmed: Instant | undefined;
}

/** A body that has yet to be checked. */
export interface FetchedPayload {
  readonly kind: "payload";
  readonly raw: RawPayload;
  readonly relayed?: RelayedOrigin | undefined;
  /** Host and port of the endpoint that sent it; undefined if there is only one. */
  readonly host?: string;
  /**
   * Reports that the check refused the payload. Returns whether another endpoint may have a better one, which the next request for
   * the feed then asks. Undefined if there is only one.
   */
  readonly refuse?: (reason: RefusalReason, detail: string) => boolean;
}

export type FetchOutcome =
  | FetchedPayload
  /** The body was rejected before it was read completely. */
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly detail: string }
  | {
      readonly kind: "no_update";
      readonly relayed?: RelayedOrigin | undefined;
      /** The lcut that upstream has, if it says so. */
      readonly lcut?: number | undefined;
    }
  | { readonly kind: "unauthorized"; readonly status: number }
  | FetchFailure;

export interface FetchFailure {
  readonly kind: "failed";
  readonly cause: FailureCause;
  /** The HTTP status of the response, if the cause is the status. */
  readonly status?: number;
  /** Text for logs and pages; never contains an SDK key. */
  readonly detail: string;
  /** Retry-After of the response, in ms. */
  readonly retryAfterMs?: number;
}

/** What a request says about the version that the relay holds. */
export interface HeldVersion extends VersionId {
  /** Its statsig-br body. If it is set, the source may send a delta that leads from this version. */
  readonly deltaBase?: SharedBytes | undefined;
}

/** Held by a client without a version. */
export const NOTHING_HELD: HeldVersion = { lcut: 0, checksum: "" };

/** Where config specs come from. */
export interface SpecSource {
  /**
   * Requests what is newer than the held version, or any version after {@link NOTHING_HELD}. A source that compares checksums also
   * sends another content with the lcut of the held version. Every failure is a value: the promise rejects only when `signal` is
   * aborted, and settles within the source's own time limits. `progressed` is called when the response begins, and for each chunk
   * of the body.
   */
  fetchSpecs(
    feed: Feed,
    held: HeldVersion,
    signal: AbortSignal,
    progressed?: () => void,
  ): Promise<FetchOutcome>;
}
