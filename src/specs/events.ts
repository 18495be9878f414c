import type { Feed } from "./feed.ts";
import type { RefusalReason } from "./payload/payload.ts";
import type { Snapshot } from "./snapshot.ts";
import type { FailureCause } from "./source.ts";

/** Who responded: upstream, the blob storage before it, or upstream because the blob storage lacks the blob. */
export type ResponseOrigin = "cdn" | "blob" | "cdn_fallback";

/** What happens to config specs, for logs, metrics and the status page. */
export type SpecEvent =
  | {
      readonly kind: "spec_updated";
      readonly snapshot: Snapshot;
      /** The lcut of the replaced version; undefined for the first version of a feed. */
      readonly previousLcut: number | undefined;
      /** The coding of upstream's response; empty if it had none, undefined if the version comes from the backup. */
      readonly contentEncoding?: string | undefined;
      /** Size of the delta as upstream sent it, in bytes; undefined if upstream sent the whole version. */
      readonly deltaBytes?: number | undefined;
      /** Ms from the request to upstream until clients get the version. */
      readonly tookMs: number;
    }
  /** An earlier or held back version was published under a newer lcut, after a roll back or a release. */
  | {
      readonly kind: "spec_republished";
      readonly snapshot: Snapshot;
      readonly previousLcut: number | undefined;
    }
  /** Upstream has a newer version, which is not served, since the key is pinned. */
  | {
      readonly kind: "spec_held_back";
      readonly feed: Feed;
      readonly lcut: number;
      readonly servedLcut: number;
      readonly tookMs: number;
    }
  /** Pins cannot be read or stored: what was read last applies. Emitted once until `pins_recovered`. */
  | { readonly kind: "pins_failing"; readonly detail: string }
  | { readonly kind: "pins_recovered" }
  /** A delta from upstream was refused: the whole version is requested at once. */
  | { readonly kind: "spec_delta_refused"; readonly feed: Feed; readonly detail: string }
  | { readonly kind: "spec_unchanged"; readonly feed: Feed; readonly lcut: number; readonly tookMs: number }
  | {
      readonly kind: "spec_refused";
      readonly feed: Feed;
      readonly reason: RefusalReason;
      readonly detail: string;
      readonly held: boolean;
      readonly tookMs: number;
    }
  | {
      readonly kind: "spec_fetch_failed";
      readonly feed: Feed;
      readonly cause: FailureCause;
      /** The HTTP status of upstream's response; undefined if there was no response. */
      readonly status?: number | undefined;
      readonly detail: string;
      readonly held: boolean;
      readonly tookMs: number;
    }
  | {
      readonly kind: "spec_unauthorized";
      readonly feed: Feed;
      readonly status: number;
      readonly tookMs: number;
      /** The held version is still served, it was dropped, or no version was held. */
      readonly whatIsHeld: "kept" | "cleared" | "denied";
    }
  /** A response to a request for config specs, whatever comes of it. `held`: a version of the feed is known. */
  | {
      readonly kind: "spec_response";
      readonly feed: Feed;
      readonly held: boolean;
      readonly from: ResponseOrigin;
      readonly status: number;
      /** The length of the config specs or delta in the response, as sent; 0 if it has none. */
      readonly bytes: number;
    }
  /** Upstream failed, and neither memory nor the backup has the feed: clients get an error. */
  | {
      readonly kind: "spec_unavailable";
      readonly feed: Feed;
      readonly cause: string;
      readonly detail: string;
    }
  /** The request of a poll starts; it waited `waitedMs` for a slot. */
  | { readonly kind: "spec_poll_began"; readonly waitedMs: number }
  /** Polls keep waiting longer for a slot than the interval. Emitted for each late poll. */
  | { readonly kind: "spec_polls_delayed"; readonly waitedMs: number; readonly intervalMs: number }
  | { readonly kind: "spec_polls_on_time" }
  /** What this relay of a fleet found when a feed was due; `failed`: the fleet channel failed. */
  | { readonly kind: "fleet_looked"; readonly seen: "confirmed" | "claimed" | "ours" | "failed" }
  | { readonly kind: "spec_evicted"; readonly feed: Feed }
  | { readonly kind: "spec_not_held"; readonly feed: Feed; readonly maxKeys: number };

export type EmitSpecEvent = (event: SpecEvent) => void;
