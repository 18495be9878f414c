/**
 * The djb2 hash that Statsig writes into a payload as `hashed_sdk_key_used`, by which SDKs refuse
 * specs that were made for another key.
 */
export function hashedSdkKey(sdkKey: string): string {
  let hash = 0;
  for (let index = 0; index < sdkKey.length; index++) {
    hash = ((hash << 5) - hash + sdkKey.charCodeAt(index)) | 0;
  }
  return String(hash >>> 0);
}
