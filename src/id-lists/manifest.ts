import type { SdkKey } from "../access/sdk-key.ts";
import type { FetchFailure } from "../specs/source.ts";

/** One ID list as a manifest describes it (WIRE 4). Field names are the wire's. */
export interface IdListEntry {
  readonly name: string;
  /** Where the file is: http or https. */
  readonly url: string;
  readonly fileID: string;
  /** Bytes of the file, of which each is there by now. */
  readonly size: number;
  /** Ms since the Unix epoch; a later one is another file. */
  readonly creationTime: number;
}

/** The fileID of a list whose file is not on disk yet, in manifests of the relay: of an empty file. */
export const MISSING_FILE_ID = "not-on-disk-yet";

/**
 * What a manifest says of a list whose file is not on disk yet. SDKs forget a list that a manifest lacks, so it is
 * named, with an empty file that is older than any: an SDK that has the list keeps what it has, one that doesn't takes
 * it for empty. Both take the real file later, since its fileID is another and its creationTime later.
 */
export function missingEntry(name: string): Omit<IdListEntry, "url"> {
  return { name, fileID: MISSING_FILE_ID, size: 0, creationTime: 0 };
}

/** The ID lists of an SDK key. */
export interface Manifest {
  /** As upstream sent it, byte for byte; without the lists that were left out, where there are any. */
  readonly text: string;
  readonly entries: ReadonlyMap<string, IdListEntry>;
  /** It is of a relay that doesn't have the files of all lists yet. */
  readonly isIncomplete: boolean;
  /** Names of lists that can't be served, as they can be shown. */
  readonly leftOut: readonly string[];
}

/** Far more than 10,000 lists. Parsing as much takes 20 ms. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

const MAX_FILE_ID_CHARS = 1_024;

/**
 * Reads a manifest, or says why the text is none. One entry that can't be read spoils the whole, as it does for
 * the Rust-cored SDKs: what they could not use must not take the place of what they can. A list whose texts have half of a
 * surrogate pair is left out alone: it can be put into no URL, and those SDKs would read nothing of a manifest with it.
 */
export function readManifest(text: string): Manifest | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return "it is no JSON";
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return "it is no JSON object";
  const entries = new Map<string, IdListEntry>();
  const kept: [string, unknown][] = [];
  const leftOut: string[] = [];
  for (const [name, value] of Object.entries(parsed)) {
    const entry = readEntry(value);
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

function readEntry(value: unknown): IdListEntry | string {
  if (typeof value !== "object" || value === null) return "its entry is no object";
  const { name, url, fileID, size, creationTime }: Readonly<Record<string, unknown>> = { ...value };
  if (typeof name !== "string") return "its name is no text";
  if (typeof url !== "string" || !URL.canParse(url) || !/^https?:/i.test(url)) return "its url is no URL";
  if (typeof fileID !== "string" || fileID === "" || fileID.length > MAX_FILE_ID_CHARS) {
    return "its fileID is no text of 1 to 1024 characters";
  }
  if (!isCount(size)) return "its size is no number of bytes";
  if (!isCount(creationTime)) return "its creationTime is no time";
  return { name, url, fileID, size, creationTime };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export type ManifestOutcome =
  /** A body; not looked into yet. */
  | { readonly kind: "manifest"; readonly text: string }
  | { readonly kind: "unauthorized"; readonly status: number }
  | FetchFailure;

/** Where manifests come from. */
export interface ManifestSource {
  /**
   * One request for the ID lists of a key. Every expected ending is a value; it never rejects but for `signal`,
   * and always ends within the source's own time limit.
   */
  fetchManifest(sdkKey: SdkKey, signal: AbortSignal): Promise<ManifestOutcome>;
}

/**
 * Keeps the newest manifest of each key outside this process. Every method rejects where the backup does not
 * work just now; none waits for ever.
 */
export interface ManifestBackup {
  /** The text that was kept last; not looked into. Undefined where nothing is there. */
  readManifest(sdkKey: SdkKey): Promise<string | undefined>;

  /** `fetchedAt` (ms since the Unix epoch) is when upstream sent it: nothing older takes the place of a newer one. */
  writeManifest(sdkKey: SdkKey, text: string, fetchedAt: number): Promise<void>;

  removeManifest(sdkKey: SdkKey): Promise<void>;
}
