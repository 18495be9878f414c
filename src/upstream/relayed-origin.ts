import type { Clock, Instant } from "../clock.ts";
import type { SnapshotSource } from "../specs/snapshot.ts";
import type { RelayedOrigin } from "../specs/spec-source.ts";

const SOURCES: readonly SnapshotSource[] = ["upstream", "redis", "local"];

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/** The `Date` header is cut to seconds. */
const DATE_STEP_MS = 1_000;

/** As far as two clocks may be apart and still count as the same: NTP keeps them closer, and the answer takes its time. */
const SAME_CLOCK_MS = 2_000;

/**
 * What the headers of an answer say of the version that an upstream relay has. Returns undefined for those of Statsig's
 * servers and of the original proxy, which say nothing.
 */
export function readRelayedOrigin(headers: Headers, clock: Clock): RelayedOrigin | undefined {
  const source = headers.get("x-sfp-source");
  const confirmedAt = headers.get("x-sfp-confirmed-at");
  if (source === null && confirmedAt === null) return undefined;
  return {
    source: SOURCES.find((known) => known === source?.trim()) ?? "upstream",
    confirmed: readConfirmed(confirmedAt?.trim() ?? "", headers.get("date"), clock),
  };
}

/** Never later than now: a confirmation from the future would outlast every real one. */
function readConfirmed(text: string, date: string | null, clock: Clock): Instant | undefined {
  const said = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(said)) return undefined;
  const [now, elapsed] = [clock.now(), clock.elapsed()];
  const theirNow = Date.parse(date ?? "");
  if (Number.isNaN(theirNow) || Math.abs(theirNow - now) <= SAME_CLOCK_MS) {
    const at = Math.min(said, now);
    return { at, elapsed: elapsed - (now - at) };
  }
  // Its clock is not ours: the age by its own clock counts, rounded up.
  const ageMs = Math.max(0, theirNow + DATE_STEP_MS - said);
  return { at: now - ageMs, elapsed: elapsed - ageMs };
}
