import { maskSdkKey, parseSdkKey } from "./sdk-key.ts";

/** Matches texts as long as real keys that are not part of a path: a file may be called secret-keys.txt. */
const SDK_KEY = /(?<![\w/.-])secret-(?=[\w.:-]{16,})(?:[.:]*[\w-])+/g;

const USER_INFO = /(?<=:\/\/)[^\s/"]*@/g;

/**
 * Removes secrets from an error that quotes user input: SDK keys, which end up in the wrong argument if their list contains a
 * space, and passwords in URLs.
 */
export function redactSecrets(message: string): string {
  const masked = message.replace(SDK_KEY, (text) => {
    const key = parseSdkKey(text);
    return key === undefined ? "…" : maskSdkKey(key);
  });
  return masked.replace(USER_INFO, "…@");
}

/** Returns the URL without user and password, or "…" if it is ambiguous where they end. */
export function redactUserInfo(url: string): string {
  const masked = url.replace(/^([\w+.-]+:\/\/)[^/?#]*@/, "$1…@");
  return masked.replace("…@", "").includes("@") ? "…" : redactSecrets(masked);
}
