import { parseJson } from "../../platform/content/json.ts";
import type { VersionId } from "../deltas/delta.ts";
import { type Feed, listFeeds } from "../feed.ts";
import { parseLcut } from "../payload/payload.ts";

/** A version of one feed as upstream calls it, and the lcut that clients get it under. */
export interface PinnedVersion extends VersionId {
  readonly servedLcut: number;
}

/** What an operator pinned, and why. */
interface Pin {
  /** Ms since the Unix epoch, by the clock of the relay that the operator asked. */
  readonly since: number;
  /** The address of the operator's client. */
  readonly by: string;
  /** Empty if none was given. */
  readonly reason: string;
  /** The lcut to which feeds are rolled back; undefined if each is pinned to what was served. */
  readonly to?: number | undefined;
}

/** What is stored of an SDK key. */
export interface PinEntry {
  /** The SDK key, masked: relays that do not know it show this. */
  readonly key: string;
  /** Null after the release: `feeds` then shows under which lcut a version of upstream is served. */
  readonly pin: Pin | null;
  /** The version of each feed, by {@link toForm}. */
  readonly feeds: Readonly<Record<string, PinnedVersion>>;
  /**
   * When an operator changed it, ms since the Unix epoch, and later than the change before whatever the clocks of relays say. Of two
   * entries of a key, the one that was changed later counts.
   */
  readonly changedAt: number;
}

/** Returns the value of `changedAt` for a change now. */
export function nextChange(entry: PinEntry | undefined, now: number): number {
  return Math.max(now, (entry?.changedAt ?? 0) + 1);
}

/**
 * Returns the version of an order with a lcut that no other content of the feed has, and not below that of the version before: other
 * relays may have published this or another version under it already.
 */
export function aboveKnown(version: PinnedVersion, known: PinnedVersion | undefined): PinnedVersion {
  if (known === undefined || known.servedLcut < version.servedLcut) return version;
  const isSame = known.lcut === version.lcut && known.checksum === version.checksum;
  return { ...version, servedLcut: isSame ? known.servedLcut : known.servedLcut + 1 };
}

/** The entries, by a digest of the SDK key. */
export type PinDocument = ReadonlyMap<string, PinEntry>;

/** Returns the name of a feed within its SDK key. */
export const toForm = ({ version, format }: Pick<Feed, "version" | "format">): string =>
  `${version}/${format}`;

const SCHEMA_VERSION = 1;

/** Limit of released keys that are remembered. */
const MAX_RELEASED = 1_000;
/** Limit of what is read from a place that others can write to. */
const MAX_ENTRIES = 20_000;
const MAX_TEXT = 300;

export function formatPins(document: PinDocument): string {
  const released = [...document].filter(([, { pin }]) => pin === null);
  const forgotten = released.toSorted(([, a], [, b]) => b.changedAt - a.changedAt).slice(MAX_RELEASED);
  const kept = new Map(document);
  for (const [digest] of forgotten) kept.delete(digest);
  return JSON.stringify({ version: SCHEMA_VERSION, keys: Object.fromEntries(kept) });
}

/**
 * Returns undefined if the text is not what {@link formatPins} returns. Skips entries that are not valid. Throws if a later version
 * of the relay has written it: it must not be replaced.
 */
export function parsePins(text: string): PinDocument | undefined {
  const document = asObject(parseJson(text));
  const keys = asObject(document?.["keys"]);
  const version = Number(document?.["version"]);
  if (version > SCHEMA_VERSION) throw new Error("a later version of the relay has stored the pins");
  if (version !== SCHEMA_VERSION || keys === undefined) return undefined;
  const entries = Object.entries(keys).slice(0, MAX_ENTRIES);
  return new Map(
    entries.flatMap(([digest, value]) => {
      const entry = parseEntry(value);
      return entry === undefined ? [] : [[digest, entry] as const];
    }),
  );
}

function parseEntry(value: unknown): PinEntry | undefined {
  const entry = asObject(value);
  const feeds = asObject(entry?.["feeds"]);
  const changedAt = parseLcut(entry?.["changedAt"]);
  const pin = entry?.["pin"] === null ? null : parsePin(entry?.["pin"]);
  if (entry === undefined || feeds === undefined || changedAt === undefined || pin === undefined)
    return undefined;
  const versions = FORMS.flatMap((form) => {
    const version = parseVersion(feeds[form]);
    return version === undefined ? [] : [[form, version] as const];
  });
  return { key: asText(entry["key"]), pin, feeds: Object.fromEntries(versions), changedAt };
}

const FORMS = listFeeds("" as Feed["sdkKey"]).map(toForm);

function parsePin(value: unknown): Pin | undefined {
  const pin = asObject(value);
  const since = parseLcut(pin?.["since"]);
  if (pin === undefined || since === undefined) return undefined;
  return { since, by: asText(pin["by"]), reason: asText(pin["reason"]), to: parseLcut(pin["to"]) };
}

function parseVersion(value: unknown): PinnedVersion | undefined {
  const version = asObject(value);
  const lcut = parseLcut(version?.["lcut"]);
  const servedLcut = parseLcut(version?.["servedLcut"]);
  if (lcut === undefined || servedLcut === undefined) return undefined;
  return { lcut, servedLcut, checksum: asText(version?.["checksum"]) };
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}

const asText = (value: unknown): string => (typeof value === "string" ? value.slice(0, MAX_TEXT) : "");
