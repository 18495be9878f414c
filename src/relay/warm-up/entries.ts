import { maskSdkKey, parseSdkKey, type SdkKey } from "../../access/sdk-key.ts";

type SpecFormat = "json" | "proto";

/** What to fetch at the start, as if a client had asked for it. */
export type WarmUpEntry =
  | {
      readonly kind: "specs";
      readonly sdkKey: SdkKey;
      readonly version: "v1" | "v2";
      /** Not empty. */
      readonly formats: readonly SpecFormat[];
    }
  | { readonly kind: "id_lists"; readonly sdkKey: SdkKey };

interface SkippedEntry {
  readonly index: number;
  /** Masked; undefined if the entry has no text that could be an SDK key. */
  readonly sdkKey: string | undefined;
  readonly problem: string;
}

interface WarmUpEntries {
  readonly entries: readonly WarmUpEntry[];
  readonly skipped: readonly SkippedEntry[];
  /** Why the whole value is ignored; undefined if it is a JSON array. */
  readonly unreadable: string | undefined;
}

const KEY_PREFIXES = ["client-", "secret-", "server-"];

/** An SDK key may follow, as in the URLs of clients: the original proxy compares only the beginning. */
const SPEC_PATH = /^\/(v[12])\/download_config_specs(?:\/|$)/;
const ID_LISTS_PATH = /^\/v1\/get_id_lists(?:\/|$)/;

/**
 * Reads the entries of `SFP_STARTUP_WARMUP_KEYS_JSON`. As in the original proxy, a wrong entry is skipped and a wrong value is ignored:
 * neither keeps the relay from starting.
 */
export function readWarmUpEntries(text: string): WarmUpEntries {
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch {
    // The message of the error would quote the text.
    return { entries: [], skipped: [], unreadable: "not valid JSON" };
  }
  if (!Array.isArray(values)) return { entries: [], skipped: [], unreadable: "not a JSON array" };
  const entries: WarmUpEntry[] = [];
  const skipped: SkippedEntry[] = [];
  for (const [index, value] of values.entries()) {
    const entry = readEntry(value);
    if (typeof entry === "string") skipped.push({ index, sdkKey: findMaskedKey(value), problem: entry });
    else entries.push(entry);
  }
  return { entries, skipped, unreadable: undefined };
}

/** Returns what is wrong if the value is not an entry. */
function readEntry(value: unknown): WarmUpEntry | string {
  const { sdk_key: key, path, encodings }: Readonly<Record<string, unknown>> = { ...toObject(value) };
  if (key === undefined) return 'not an object with the field "sdk_key"';
  if (typeof key !== "string") return "sdk_key is not a string";
  const sdkKey = parseSdkKey(key.trim());
  if (sdkKey === undefined || !KEY_PREFIXES.some((prefix) => sdkKey.startsWith(prefix))) {
    return `sdk_key is not an SDK key (expected one that begins with ${KEY_PREFIXES.join(", ")})`;
  }
  if (path === undefined) return "path is missing";
  if (typeof path !== "string") return "path is not a string";
  const codings = readCodings(encodings);
  if (codings === undefined) return "encodings is not a list of at least one content coding";
  const plainPath = path.trim();
  if (ID_LISTS_PATH.test(plainPath)) return { kind: "id_lists", sdkKey };
  const [, version] = SPEC_PATH.exec(plainPath) ?? [];
  if (version !== "v1" && version !== "v2") {
    return "path is not supported (expected /v1/download_config_specs, /v2/download_config_specs or /v1/get_id_lists)";
  }
  return { kind: "specs", sdkKey, version, formats: version === "v1" ? ["json"] : formatsOf(codings) };
}

/** A list with statsig-br and others is for clients of both formats. */
function formatsOf(codings: readonly string[]): readonly SpecFormat[] {
  if (!codings.includes("statsig-br")) return ["json"];
  return codings.every((coding) => coding === "statsig-br") ? ["proto"] : ["proto", "json"];
}

/** Returns undefined if the value is wrong. Unknown codings are fine: they mean the plain text. */
function readCodings(value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length === 0) return undefined;
  if (!value.every((each) => typeof each === "string")) return undefined;
  return value.flatMap((each) => each.split(",").map((word) => word.trim().toLowerCase()));
}

function findMaskedKey(value: unknown): string | undefined {
  const { sdk_key: key }: Readonly<Record<string, unknown>> = { ...toObject(value) };
  const sdkKey = typeof key === "string" ? parseSdkKey(key.trim()) : undefined;
  return sdkKey && maskSdkKey(sdkKey);
}

function toObject(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}
