import { SdkProcess } from "./sdk-process.ts";

export interface LegacySdkOptions {
  readonly sdkKey: string;
  /** Base of the HTTP URLs, without a path. */
  readonly httpUrl: string;
  /** Added to, or in place of, the options for `initialize`. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** The SDK raises anything shorter to this. */
export const legacySyncIntervalMs = 5_000;

/** `statsig-node`: v1 specs over HTTP. */
export function startLegacySdk({ sdkKey, httpUrl, options = {} }: LegacySdkOptions): Promise<SdkProcess> {
  return SdkProcess.start("legacy", sdkKey, {
    api: `${httpUrl}/v1`,
    apiForDownloadConfigSpecs: `${httpUrl}/v1`,
    apiForGetIdLists: `${httpUrl}/v1`,
    rulesetsSyncIntervalMs: legacySyncIntervalMs,
    initTimeoutMs: 5_000,
    initStrategyForIP3Country: "none",
    disableIdListsSync: true,
    disableAllLogging: true,
    disableDiagnostics: true,
    ...options,
  });
}
