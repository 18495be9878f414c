import type { Clock } from "../clock.ts";
import { describeFeed, type Feed } from "./feed.ts";
import { maskSdkKey } from "./sdk-key.ts";
import type { SpecStore } from "./spec-store.ts";

export interface ReadinessOptions {
  readonly store: Pick<SpecStore, "allows" | "holds" | "peek">;
  readonly clock: Clock;
  /** Fetched without being asked for. */
  readonly preload: readonly Feed[];
  /** How long ago upstream may have confirmed what is held of these; undefined where it does not matter. */
  readonly maxStalenessMs: number | undefined;
}

/** As many keys or feeds as a reason names. */
const MAX_NAMED = 5;

/**
 * Why clients should not come here yet, or for now, by what is held of the preloaded keys. A feed that upstream does
 * not have is no reason as long as another of its key is held: of a key, SDKs of one kind ask for one.
 */
export function notReadyReasons(options: ReadinessOptions): readonly string[] {
  return [missing(options), stale(options)].filter((reason) => reason !== undefined);
}

function missing({ store, preload }: ReadinessOptions): string | undefined {
  const keys = [...new Set(preload.map(({ sdkKey }) => sdkKey))];
  const without = keys.filter((sdkKey) => store.allows(sdkKey) && !store.holds(sdkKey));
  if (without.length === 0) return undefined;
  return `${without.length} of ${keys.length} preloaded keys have no data yet: ${list(without.map(maskSdkKey))}`;
}

function stale({ store, clock, preload, maxStalenessMs }: ReadinessOptions): string | undefined {
  if (maxStalenessMs === undefined) return undefined;
  const found = preload.flatMap((feed) => {
    const held = store.peek(feed);
    if (held === undefined) return [];
    const ageMs = clock.now() - (held.confirmedAt ?? Number.NEGATIVE_INFINITY);
    return ageMs > maxStalenessMs ? [`${describeFeed(feed)} ${ageText(ageMs)}`] : [];
  });
  if (found.length === 0) return undefined;
  const limitS = maxStalenessMs / 1_000;
  return `${found.length} of ${preload.length} preloaded feeds not confirmed by upstream for ${limitS} s: ${list(found)}`;
}

function ageText(ageMs: number): string {
  return Number.isFinite(ageMs) ? `(${Math.floor(ageMs / 1_000)} s ago)` : "(never)";
}

function list(names: readonly string[]): string {
  return names.slice(0, MAX_NAMED).join(", ") + (names.length > MAX_NAMED ? ", ..." : "");
}
