import type { ListedPin } from "../../specs/pins/pin-desk.ts";
import type { FoundProblem } from "./next-steps.ts";
import { type PinStatus, toIsoOrNull } from "./schema.ts";

/** More pins than these are counted, not listed. */
const MAX_LISTED = 100;
const MAX_PROBLEMS = 10;

/** Returns the pinned keys as `/status.json` has them. */
export function formatPins(pins: readonly ListedPin[]): readonly PinStatus[] {
  return pins.slice(0, MAX_LISTED).map((listed) => ({
    key: listed.key,
    lcut: listed.lcut ?? null,
    source: listed.pin.source,
    since: toIsoOrNull(listed.pin.since),
    by: listed.pin.by || null,
    reason: listed.pin.reason || null,
    held_back: listed.heldBack,
    missing_feeds: listed.missing.length,
    stored: listed.isStored,
  }));
}

/** A pin is easily forgotten: it is a problem as long as it lasts. */
export function* pinProblems(pins: readonly ListedPin[]): Iterable<FoundProblem> {
  for (const listed of pins.slice(0, MAX_PROBLEMS)) yield describePin(listed);
  const more = pins.length - MAX_PROBLEMS;
  if (more > 0)
    yield toProblem("key_pinned", `${more} more SDK keys are pinned`, undefined, "see GET /v1/pins");
}

function describePin(listed: ListedPin): FoundProblem {
  const { key, pin, lcut: version, heldBack, missing, isStored } = listed;
  const by = pin.source === "config" ? "by --pin" : `by ${pin.by}${pin.reason && `: ${pin.reason}`}`;
  const newer =
    heldBack === 0 ? "" : `; ${heldBack} newer ${heldBack === 1 ? "version is" : "versions are"} not served`;
  const lost = isStored ? "" : "; in memory alone: a restart loses the pin";
  const detail = `${by}${newer}${lost}`;
  const since = pin.since;
  if (missing.length === 0)
    return toProblem("key_pinned", `SDK key ${key} is pinned to version ${version}`, since, detail);
  const feeds = missing.join(", ");
  const text = `SDK key ${key} is pinned to version ${version}, which this relay does not have for ${feeds}`;
  return toProblem("pinned_version_missing", text, since, detail);
}

function toProblem(
  kind: FoundProblem["kind"],
  text: string,
  since: number | undefined,
  detail: string,
): FoundProblem {
  return { kind, severity: "warning", text, since: toIsoOrNull(since), detail };
}
