import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describeUnreadable } from "../platform/file-watch.ts";

declare const sdkKeyBrand: unique symbol;

/** A customer's secret, checked for its form. Never whole in a log, metric, page, file name or error. */
export type SdkKey = string & { readonly [sdkKeyBrand]: true };

const SDK_KEY_FORM = /^[A-Za-z0-9_-]{1,200}$/;

/** The text as an SDK key, or undefined where it can't be one. */
export function parseSdkKey(text: string): SdkKey | undefined {
  return SDK_KEY_FORM.test(text) ? (text as SdkKey) : undefined;
}

const MASK_CHARS = 10;
const MASK_DIGEST_CHARS = 6;

/**
 * How a key is shown to people: its first 10 characters and 6 hex digits of its SHA-256. Of a key shorter
 * than 20 characters only half is shown, so that no key is ever shown whole.
 */
export function maskSdkKey(key: SdkKey): string {
  const shown = key.slice(0, Math.min(MASK_CHARS, Math.floor(key.length / 2)));
  return `${shown}*${createHash("sha256").update(key).digest("hex").slice(0, MASK_DIGEST_CHARS)}`;
}

/**
 * The hash that Statsig puts into a payload as `hashed_sdk_key_used`: djb2 over UTF-16 units, as an unsigned
 * 32-bit decimal. Where a payload carries one, it must be that of the key it was asked for.
 */
export function djb2(key: string): string {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = ((hash << 5) - hash + key.charCodeAt(i)) | 0;
  return String(hash >>> 0);
}

/**
 * A comma list of SDK keys, or by `@path` a file of them, split by commas or white space. Each key once. A list
 * that was given must name one: an empty file is a secret that was not mounted.
 * `refuse` is given what is wrong, without any key in it.
 */
export function readSdkKeyList(text: string, refuse: (problem: string) => never): readonly SdkKey[] {
  if (text === "") return [];
  return parseSdkKeyList(text.startsWith("@") ? readFile(text.slice(1), refuse) : text, refuse);
}

/** SDK keys, split by commas or white space; as {@link readSdkKeyList}, of a file that was read already. */
export function parseSdkKeyList(list: string, refuse: (problem: string) => never): readonly SdkKey[] {
  const words = list.split(/[\s,]+/).filter((word) => word !== "");
  const keys = words.map((word, index) => {
    const key = parseSdkKey(word);
    if (key !== undefined) return key;
    return refuse(`entry ${index + 1} is no SDK key, allowed are 1 to 200 letters, digits, "-" and "_"`);
  });
  if (keys.length === 0) refuse("it names no SDK key");
  return [...new Set(keys)];
}

function readFile(path: string, refuse: (problem: string) => never): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return refuse(`cannot read "${path}": ${describeUnreadable(path)}`);
  }
}

/** As long as real ones, and not a part of a path: a file may be called secret-keys.txt. */
const SDK_KEY = /(?<![\w/.-])secret-[\w-]{16,}/g;

const USER_INFO = /(?<=:\/\/)[^\s/"]*@/g;

/**
 * People are shown what they gave as it was, but for secrets: a key that stands where another word belongs, since its
 * list had a space in it, and a password in a URL.
 */
export function redactSecrets(message: string): string {
  const masked = message.replace(SDK_KEY, (text) => {
    const key = parseSdkKey(text);
    return key === undefined ? "…" : maskSdkKey(key);
  });
  return masked.replace(USER_INFO, "…@");
}

/** A URL without user and password; nothing of one that leaves in doubt where they end. */
export function redactUserInfo(url: string): string {
  const masked = url.replace(/^([\w+.-]+:\/\/)[^/?#]*@/, "$1…@");
  return masked.replace("…@", "").includes("@") ? "…" : redactSecrets(masked);
}
