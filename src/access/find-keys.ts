import { maskSdkKey, parseSdkKey, type SdkKey } from "./sdk-key.ts";

/**
 * Returns the keys of `known` that an operator names: the whole key, or those that logs and pages show like the given text, which can
 * be several.
 */
export function findSdkKeys(named: string, known: ReadonlySet<SdkKey>): readonly SdkKey[] {
  const whole = parseSdkKey(named);
  if (whole !== undefined && known.has(whole)) return [whole];
  return [...known].filter((sdkKey) => maskSdkKey(sdkKey) === named);
}
