import type { Feed } from "./feed.ts";
import type { RefusalReason } from "./payload/payload.ts";
import type { Snapshot } from "./snapshot.ts";
import type { FailureCause } from "./source.ts";

/** What happens to config specs, for whoever watches. */
export type SpecEvent =
  | {
      readonly kind: "spec_updated";
      readonly snapshot: Snapshot;
      /** Undefined for the first version of a feed. */
      readonly previousLcut: number | undefined;
      /** From the request to upstream until clients get the version. */
      readonly tookMs: number;
    }
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
      readonly detail: string;
      readonly held: boolean;
      readonly tookMs: number;
    }
  | {
      readonly kind: "spec_unauthorized";
      readonly feed: Feed;
      readonly status: number;
      readonly tookMs: number;
      /** What was held is still served, was dropped, or there was nothing held. */
      readonly whatIsHeld: "kept" | "cleared" | "denied";
    }
  /** A request for what is held begins; it waited so long for its turn. */
  | { readonly kind: "spec_poll_began"; readonly waitedMs: number }
  /** Polls go on waiting longer for their turn than the interval; told with each of them. */
  | { readonly kind: "spec_polls_delayed"; readonly waitedMs: number; readonly intervalMs: number }
  | { readonly kind: "spec_polls_on_time" }
  /** What this relay of a fleet found when a feed was due; `failed`: it could not look. */
  | { readonly kind: "fleet_looked"; readonly seen: "confirmed" | "claimed" | "ours" | "failed" }
  | { readonly kind: "spec_evicted"; readonly feed: Feed }
  | { readonly kind: "spec_not_held"; readonly feed: Feed; readonly maxKeys: number };

export type EmitSpecEvent = (event: SpecEvent) => void;
