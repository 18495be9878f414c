import type { SdkKey } from "../access/sdk-key.ts";
import type { FetchFailure } from "../specs/source.ts";

/** One ID list in a manifest, with the field names of the protocol (docs/protocol.md, ID lists). */
export interface IdListEntry {
  readonly name: string;
  /** An http or https URL of the list file. */
  readonly url: string;
  readonly fileID: string;
  /** Length of the file in bytes. Upstream has all of them already. */
  readonly size: number;
  /** In ms since the Unix epoch. A later one means another file. */
  readonly creationTime: number;
}

/** The fileID that the relay's manifests have for lists whose file is not on disk yet. It is served as an empty file. */
export const MISSING_FILE_ID = "not-on-disk-yet";

/**
 * Returns the entry of a list whose file is not on disk yet. SDKs forget lists that a manifest lacks, so the list is named,
 * with an empty file that is older than any other: an SDK that has the list keeps it, one that has not takes it as empty.
 * Both load the real file later, because its fileID differs and its creationTime is later.
 */
export function missingEntry(name: string): Omit<IdListEntry, "url"> {
  return { name, fileID: MISSING_FILE_ID, size: 0, creationTime: 0 };
}

/** The ID lists of an SDK key. */
export interface Manifest {
  /** The text that upstream sent. If lists were left out, the text without them. */
  readonly text: string;
  readonly entries: ReadonlyMap<string, IdListEntry>;
  /** Upstream is a relay that does not have all files yet. */
  readonly isIncomplete: boolean;
  /** Names of lists that cannot be served, made safe for logs. */
  readonly leftOut: readonly string[];
}

/** Room for far more than 10,000 lists. Parsing as much takes 20 ms. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

const MAX_FILE_ID_CHARS = 1_024;

/**
 * Parses a manifest. Returns an error message if the text is not a valid manifest. One invalid entry makes the whole invalid, as
 * in the Rust-cored SDKs: a manifest that they cannot use must not replace one that they can. Only a list with half of a
 * surrogate pair in one of its strings is left out alone: no URL can contain it, and those SDKs would reject the manifest.
 */
export function parseManifest(text: string): Manifest | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return "not valid JSON";
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return "not a JSON object";
  const entries = new Map<string, IdListEntry>();
  const kept: [string, unknown][] = [];
  const leftOut: string[] = [];
  for (const [name, value] of Object.entries(parsed)) {
    const entry = parseEntry(value);
    if (typeof entry === "string") return `list ${JSON.stringify(name.slice(0, 100))}: ${entry}`;
    if (![name, entry.name, entry.url, entry.fileID].every((each) => each.isWellFormed())) {
      leftOut.push(name.slice(0, 100).toWellFormed());
      continue;
    }
    entries.set(name, entry);
    kept.push([name, value]);
  }
  const isIncomplete = [...entries.values()].some(({ fileID }) => fileID === MISSING_FILE_ID);
  const usable = leftOut.length === 0 ? text : JSON.stringify(Object.fromEntries(kept));
  return { text: usable, entries, isIncomplete, leftOut };
}

function parseEntry(value: unknown): IdListEntry | string {
  if (typeof value !== "object" || value === null) return "the entry is not an object";
  const { name, url, fileID, size, creationTime }: Readonly<Record<string, unknown>> = { ...value };
  if (typeof name !== "string") return "name is not a string";
  if (typeof url !== "string" || !URL.canParse(url) || !/^https?:/i.test(url))
    return "url is not an http or https URL";
  if (typeof fileID !== "string" || fileID === "" || fileID.length > MAX_FILE_ID_CHARS) {
    return "fileID is not a string of 1 to 1024 characters";
  }
  if (!isNonNegativeInteger(size)) return "size is not a non-negative integer";
  if (!isNonNegativeInteger(creationTime)) return "creationTime is not a non-negative integer";
  return { name, url, fileID, size, creationTime };
}

function isNonNegativeInteger(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export type ManifestOutcome =
  /** A body that is not parsed yet. */
  | { readonly kind: "manifest"; readonly text: string }
  | { readonly kind: "unauthorized"; readonly status: number }
  | FetchFailure;

/** The upstream of manifests. */
export interface ManifestSource {
  /**
   * Requests the manifest of a key once. Every expected outcome is a value; rejects only when `signal` is aborted. Always
   * settles within the source's own time limit.
   */
  fetchManifest(sdkKey: SdkKey, signal: AbortSignal): Promise<ManifestOutcome>;
}

/** Stores the newest manifest of each key outside this process. A method rejects if the backup fails; each has a time limit. */
export interface ManifestBackup {
  /** Resolves with the text that was written last, not validated, or with undefined if there is none. */
  readManifest(sdkKey: SdkKey): Promise<string | undefined>;

  /** Writes the manifest, unless the backup has one with a later `fetchedAt`: when upstream sent it, in ms since the Unix epoch. */
  writeManifest(sdkKey: SdkKey, text: string, fetchedAt: number): Promise<void>;

  removeManifest(sdkKey: SdkKey): Promise<void>;
}
