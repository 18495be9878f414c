import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describeErrno } from "../platform/errors.ts";

declare const sdkKeyBrand: unique symbol;

/** A customer's secret in a valid format. Never shown whole in a log, metric, page, file name or error. */
export type SdkKey = string & { readonly [sdkKeyBrand]: true };

/** A key is part of URLs, Redis keys and metric tags. It must not begin with a dot, since `..` is a path. */
const SDK_KEY_FORMAT = /^[A-Za-z0-9_-][A-Za-z0-9_.:-]{0,199}$/;

/** What errors say that they expected. */
export const SDK_KEY_RULE = '1 to 200 letters, digits, "-", "_", "." or ":", not beginning with "." or ":"';

/** Returns the text as an SDK key, or undefined if its format is invalid. */
export function parseSdkKey(text: string): SdkKey | undefined {
  return SDK_KEY_FORMAT.test(text) ? (text as SdkKey) : undefined;
}

const MASK_CHARS = 10;
const MASK_DIGEST_CHARS = 6;

/**
 * Returns the key as it is shown in logs and pages: its first 10 characters, `*` and 6 hex digits of its SHA-256. Of a key
 * shorter than 20 characters only half is shown, so that no key is ever shown whole.
 */
export function maskSdkKey(key: SdkKey): string {
  const shown = key.slice(0, Math.min(MASK_CHARS, Math.floor(key.length / 2)));
  return `${shown}*${createHash("sha256").update(key).digest("hex").slice(0, MASK_DIGEST_CHARS)}`;
}

const SHORT_CHARS = 20;
const MIN_HIDDEN_CHARS = 16;

/**
 * Returns the key as the original proxy has it in its StatsD lines: its first 20 characters and `***`. A key that would
 * have fewer than 16 hidden characters, shorter than those of Statsig, is masked as by {@link maskSdkKey}.
 */
export function shortenSdkKey(key: SdkKey): string {
  return key.length < SHORT_CHARS + MIN_HIDDEN_CHARS ? maskSdkKey(key) : `${key.slice(0, SHORT_CHARS)}***`;
}

/**
 * Returns the hash that Statsig puts into a payload as `hashed_sdk_key_used`: djb2 over UTF-16 units, as an unsigned 32-bit
 * decimal. If a payload has one, it must match the requested key.
 */
export function djb2(key: string): string {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = ((hash << 5) - hash + key.charCodeAt(i)) | 0;
  return String(hash >>> 0);
}

/**
 * Parses a list of SDK keys separated by commas or white space, or, from `@path`, a file with such a list. Removes duplicates. A
 * list that is given must have at least one key: an empty file is a secret that was not mounted. Calls `refuse` with the error,
 * which contains no key.
 */
export function readSdkKeyList(text: string, refuse: (problem: string) => never): readonly SdkKey[] {
  return text === "" ? [] : parseSdkKeyList(readListText(text, refuse), refuse);
}

/** Returns the contents of the file if the text is `@path`, and otherwise the text. */
export function readListText(text: string, refuse: (problem: string) => never): string {
  return text.startsWith("@") ? readFile(text.slice(1), refuse) : text;
}

/** Returns the entries of a list that are separated by commas or white space. */
export function splitList(list: string): readonly string[] {
  return list.split(/[\s,]+/).filter((entry) => entry !== "");
}

/** As {@link readSdkKeyList}, for the contents of a file. */
export function parseSdkKeyList(list: string, refuse: (problem: string) => never): readonly SdkKey[] {
  if (list.includes("\0"))
    refuse("the list is not text in UTF-8, but perhaps in UTF-16, as some shells write it");
  const keys = splitList(list).map((entry, index) => {
    const key = parseSdkKey(entry);
    if (key !== undefined && !entry.startsWith("console-")) return key;
    return refuse(`entry ${index + 1} ${explainEntry(entry)}`);
  });
  if (keys.length === 0) refuse("the list has no SDK key");
  return [...new Set(keys)];
}

/** Returns what is wrong with an entry, without showing it. */
function explainEntry(entry: string): string {
  if (entry.startsWith("console-")) {
    return "is a key of Statsig's Console API (expected a server SDK key, which begins with secret-)";
  }
  if (/^\[|\]$|["'`\u2018-\u201f]/.test(entry)) {
    return "is in quotes or brackets (expected the key alone; separate keys by commas or line ends)";
  }
  if (/[\\/]/.test(entry)) return "is not an SDK key (to read keys from a file, write @ and its path)";
  return `is not an SDK key (expected ${SDK_KEY_RULE})`;
}

function readFile(path: string, refuse: (problem: string) => never): string {
  if (path === "") return refuse("there is no path after @ (expected @ and the path of a file)");
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return refuse(`cannot read "${path}": ${describeErrno(error)}`);
  }
}
