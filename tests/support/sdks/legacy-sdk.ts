import { SdkProcess } from "./sdk-process.ts";

export interface LegacySdkOptions {
  readonly sdkKey: string;
  /** Base URL without a path. */
  readonly httpUrl: string;
  /** Override the options for `initialize`. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** The shortest interval of the SDK, which raises smaller values to this one. */
export const legacySyncIntervalMs = 5_000;

/** Starts `statsig-node`: v1 specs over HTTP. */
export function startLegacySdk({ sdkKey, httpUrl, options = {} }: LegacySdkOptions): Promise<SdkProcess> {
  return SdkProcess.start("legacy", sdkKey, {
    api: `${httpUrl}/v1`,
    apiForDownloadConfigSpecs: `${httpUrl}/v1`,
    apiForGetIdLists: `${httpUrl}/v1`,
    rulesetsSyncIntervalMs: legacySyncIntervalMs,
    initTimeoutMs: 15_000,
    initStrategyForIP3Country: "none",
    disableIdListsSync: true,
    disableAllLogging: true,
    disableDiagnostics: true,
    ...options,
  });
}
