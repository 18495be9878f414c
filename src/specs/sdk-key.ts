import { createHash } from "node:crypto";

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
