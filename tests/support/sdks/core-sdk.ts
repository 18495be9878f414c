import { SdkProcess } from "./sdk-process.ts";

export interface CoreSdkOptions {
  readonly sdkKey: string;
  /** Base of the HTTP URLs, without a path. */
  readonly httpUrl: string;
  /** When given, specs come from this stream first, and over HTTP as the fallback. */
  readonly grpcUrl?: string;
  /** How the stream is authenticated, in the SDK's words; `none` when left out. */
  readonly grpcAuthentication?: Readonly<Record<string, string>>;
  /** 1,000 at least: the SDK ignores anything shorter. */
  readonly syncIntervalMs?: number;
  /** Added to, or in place of, the options for `new Statsig`. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** `@statsig/statsig-node-core`: v2 specs, protobuf where the server offers it, gRPC streaming. */
export function startCoreSdk(settings: CoreSdkOptions): Promise<SdkProcess> {
  const { sdkKey, httpUrl, grpcUrl, syncIntervalMs = 1_000, options = {} } = settings;
  const { grpcAuthentication = { authenticationMode: "none" } } = settings;
  const specsUrl = `${httpUrl}/v2/download_config_specs`;
  const streaming =
    grpcUrl === undefined
      ? {}
      : {
          specAdaptersConfig: [
            {
              adapterType: "network_grpc_websocket",
              specsUrl: grpcUrl,
              initTimeoutMs: 3_000,
              ...grpcAuthentication,
            },
            { adapterType: "network_http", specsUrl, initTimeoutMs: 3_000 },
          ],
        };
  return SdkProcess.start("core", sdkKey, {
    specsUrl,
    specsSyncIntervalMs: syncIntervalMs,
    initTimeoutMs: 5_000,
    logEventUrl: `${httpUrl}/v1/log_event`,
    idListsUrl: `${httpUrl}/v1/get_id_lists`,
    downloadIdListFileApi: `${httpUrl}/v1/download_id_list_file`,
    fallbackToStatsigApi: false,
    disableCountryLookup: true,
    disableAllLogging: true,
    outputLogLevel: "warn",
    ...streaming,
    ...options,
  });
}
