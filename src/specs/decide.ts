import type { RefusalReason } from "./payload.ts";
import type { PreparedPayload, Snapshot } from "./snapshot.ts";
import type { FetchFailure } from "./spec-source.ts";

/** What one request to upstream came to, after the payload was looked into. */
export type Finding =
  | { readonly kind: "prepared"; readonly payload: PreparedPayload }
  | { readonly kind: "no_update" }
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly detail: string }
  | { readonly kind: "unauthorized"; readonly status: number }
  | FetchFailure;

export interface RefreshPolicy {
  /** Drop what is held when upstream says 401 or 403. Else it is served on: last known good. */
  readonly clearOnUnauthorized: boolean;
}

export type Decision =
  /** Serve this version from now on. */
  | { readonly kind: "publish"; readonly payload: PreparedPayload }
  /** What is held is the newest. */
  | { readonly kind: "confirm" }
  /** Change nothing; the finding says why there is nothing new. */
  | { readonly kind: "keep"; readonly finding: Exclude<Finding, { kind: "prepared" | "no_update" }> }
  /** The key is not, or no longer, valid: hold nothing for it. */
  | { readonly kind: "forget"; readonly status: number };

/** What to do about a finding, given what is held. Last known good: only `forget` takes anything away. */
export function decide(finding: Finding, held: Snapshot | undefined, policy: RefreshPolicy): Decision {
  switch (finding.kind) {
    case "prepared":
      return decidePayload(finding.payload, held);
    case "no_update":
      if (held !== undefined) return { kind: "confirm" };
      return keepBroken("upstream has no update for a first request");
    case "unauthorized":
      if (held !== undefined && !policy.clearOnUnauthorized) return { kind: "keep", finding };
      return { kind: "forget", status: finding.status };
    case "refused":
    case "failed":
      return { kind: "keep", finding };
  }
}

function decidePayload(payload: PreparedPayload, held: Snapshot | undefined): Decision {
  if (held === undefined || payload.lcut > held.lcut) return { kind: "publish", payload };
  if (payload.lcut === held.lcut) return { kind: "confirm" };
  const detail = `upstream sent lcut ${payload.lcut}, older than ${held.lcut}, which is held`;
  return { kind: "keep", finding: { kind: "refused", reason: "older", detail } };
}

function keepBroken(detail: string): Decision {
  return { kind: "keep", finding: { kind: "failed", cause: "broken", detail } };
}
