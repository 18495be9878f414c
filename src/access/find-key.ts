import { maskSdkKey, parseSdkKey, type SdkKey } from "./sdk-key.ts";

/**
 * Finds the key that an operator names: whole, or masked as logs and pages show it. Returns undefined if no key of `known` is meant.
 */
export function findSdkKey(named: string, known: Iterable<SdkKey>): SdkKey | undefined {
  const whole = parseSdkKey(named);
  let masked: SdkKey | undefined;
  for (const key of known) {
    if (key === whole) return key;
    if (maskSdkKey(key) === named) masked = key;
  }
  return masked;
}
