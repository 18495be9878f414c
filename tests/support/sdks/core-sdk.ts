import { SdkProcess } from "./sdk-process.ts";

export interface CoreSdkOptions {
  readonly sdkKey: string;
  /** Base URL without a path. */
  readonly httpUrl: string;
  /** If given, specs come from this stream, with HTTP as the fallback. */
  readonly grpcUrl?: string;
  /** The authentication options of the stream; `none` by default. */
  readonly grpcAuthentication?: Readonly<Record<string, string>>;
  /** How long the SDK waits for the stream before it tries HTTP. By default far longer than a stream needs. */
  readonly grpcLimitMs?: number;
  /** At least 1,000 (the default): the SDK ignores a shorter interval. */
  readonly syncIntervalMs?: number;
  /** Override the options for `new Statsig`. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** Far more than an SDK takes to get its first config specs, and less than a test has time. */
const INIT_LIMIT_MS = 15_000;

/** Starts `@statsig/statsig-node-core`: v2 specs, protobuf if the server offers it, gRPC streams. */
export function startCoreSdk(settings: CoreSdkOptions): Promise<SdkProcess> {
  const { sdkKey, httpUrl, grpcUrl, syncIntervalMs = 1_000, options = {} } = settings;
  const { grpcAuthentication = { authenticationMode: "none" }, grpcLimitMs = INIT_LIMIT_MS } = settings;
  const specsUrl = `${httpUrl}/v2/download_config_specs`;
  const streaming =
    grpcUrl === undefined
      ? {}
      : {
          specAdaptersConfig: [
            {
              adapterType: "network_grpc_websocket",
              specsUrl: grpcUrl,
              initTimeoutMs: grpcLimitMs,
              ...grpcAuthentication,
            },
            { adapterType: "network_http", specsUrl, initTimeoutMs: INIT_LIMIT_MS },
          ],
        };
  return SdkProcess.start("core", sdkKey, {
    specsUrl,
    specsSyncIntervalMs: syncIntervalMs,
    initTimeoutMs: INIT_LIMIT_MS,
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
