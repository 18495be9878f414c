import { maskSdkKey, parseSdkKey } from "./specs/sdk-key.ts";

/** As long as real ones, and not a part of a path: a file may be called secret-keys.txt. */
const SDK_KEY = /(?<![\w/.-])secret-[\w-]{16,}/g;

const USER_INFO = /(?<=:\/\/)[^\s/"]*@/g;

/**
 * People are shown what they gave as it was, but for secrets: a key that stands where another word belongs, since its
 * list had a space in it, and a password in a URL.
 */
export function withoutSecrets(message: string): string {
  const masked = message.replace(SDK_KEY, (text) => {
    const key = parseSdkKey(text);
    return key === undefined ? "…" : maskSdkKey(key);
  });
  return masked.replace(USER_INFO, "…@");
}

/** A URL without user and password; nothing of one that leaves in doubt where they end. */
export function withoutUserInfo(url: string): string {
  const masked = url.replace(/^([\w+.-]+:\/\/)[^/?#]*@/, "$1…@");
  return masked.replace("…@", "").includes("@") ? "…" : withoutSecrets(masked);
}
