import { maskSdkKey, parseSdkKey, type SdkKey } from "./sdk-key.ts";

/**
 * Returns the keys of `known` that an operator may mean: the one that is named whole, or those that logs and pages show like this,
 * which can be several.
 */
export function findSdkKeys(named: string, known: ReadonlySet<SdkKey>): readonly SdkKey[] {
  const whole = parseSdkKey(named);
  if (whole !== undefined && known.has(whole)) return [whole];
  return [...known].filter((sdkKey) => maskSdkKey(sdkKey) === named);
}
