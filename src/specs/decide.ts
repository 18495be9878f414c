import type { VersionId } from "./deltas/delta.ts";
import type { RefusalReason } from "./payload/payload.ts";
import { isOtherContent, type PreparedPayload, type SnapshotSource } from "./snapshot.ts";
import type { FetchFailure } from "./source.ts";

/** The result of one request to upstream, after the payload was checked. */
export type FetchResult =
  | { readonly kind: "prepared"; readonly payload: PreparedPayload }
  | { readonly kind: "no_update" }
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly detail: string }
  | { readonly kind: "unauthorized"; readonly status: number }
  | FetchFailure;

export type KeepResult = Exclude<FetchResult, { kind: "prepared" | "no_update" }>;

export interface RefreshPolicy {
  /** Whether to drop a feed, also from the backup, when upstream responds 401 or 403. Otherwise it is served on. */
  readonly clearOnUnauthorized: boolean;
}

export type Decision =
  /** Serve this version from now on. */
  | { readonly kind: "publish"; readonly payload: PreparedPayload }
  /** The held version is the newest. */
  | { readonly kind: "confirm" }
  /** Change nothing; the result says why there is nothing new. */
  | { readonly kind: "keep"; readonly result: KeepResult }
  /** The SDK key is not, or no longer, valid: hold nothing for it. */
  | { readonly kind: "forget"; readonly status: number; readonly removeFromBackup: boolean };

/** What upstream calls the newest version that is known. */
export interface NewestVersion extends VersionId {
  /** Undefined if it is from upstream. */
  readonly source?: SnapshotSource;
}

/** Decides what to do with the result of a request. Last known good: only `forget` takes anything away. */
export function decide(
  result: FetchResult,
  held: NewestVersion | undefined,
  policy: RefreshPolicy,
): Decision {
  const { clearOnUnauthorized } = policy;
  switch (result.kind) {
    case "prepared":
      return decidePayload(result.payload, held);
    case "no_update": {
      if (held !== undefined && !isFromFile(held)) return { kind: "confirm" };
      const detail = "upstream has no update for a first request";
      return { kind: "keep", result: { kind: "failed", cause: "broken", detail } };
    }
    case "unauthorized":
      // Upstream has never accepted a key whose version is from a file.
      if (held !== undefined && !clearOnUnauthorized && !isFromFile(held)) return { kind: "keep", result };
      return { kind: "forget", status: result.status, removeFromBackup: clearOnUnauthorized };
    case "refused":
    case "failed":
      return { kind: "keep", result };
  }
}

function decidePayload(payload: PreparedPayload, held: NewestVersion | undefined): Decision {
  if (held === undefined || payload.lcut > held.lcut || isOtherContent(payload, held)) {
    return { kind: "publish", payload };
  }
  if (payload.lcut === held.lcut)
    return isFromFile(held) ? { kind: "publish", payload } : { kind: "confirm" };
  const detail = `upstream sent lcut ${payload.lcut}, which is older than the cached ${held.lcut}`;
  return { kind: "keep", result: { kind: "refused", reason: "older", detail } };
}

/** Returns whether a version is from a file: upstream is not known to have it. */
export function isFromFile(held: Pick<NewestVersion, "source">): boolean {
  return held.source === "bootstrap";
}
