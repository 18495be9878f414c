import { startSampleUpstream } from "./upstream.ts";

const SDK_KEY = "secret-demo";
const CHANGE_EVERY_MS = 30_000;

interface Listener {
  readonly protocol: string;
  readonly url: string;
}

/** Runs a relay with these variables as its environment until it is stopped; gives its exit code. */
type Serve = (
  env: Readonly<Record<string, string>>,
  announce: (listeners: readonly Listener[]) => void,
) => Promise<number>;

/** A relay in front of a sample upstream, and what to try with it. */
export async function runDemo(serve: Serve): Promise<number> {
  await using upstream = await startSampleUpstream({
    port: 0,
    hostname: "127.0.0.1",
    changeEveryMs: CHANGE_EVERY_MS,
    sdkKey: SDK_KEY,
  });
  const env = {
    STATSIG_ENDPOINT: upstream.url,
    LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
    SFP_PRELOAD_SDK_KEYS: SDK_KEY,
  };
  return await serve(env, (listeners) => process.stdout.write(welcome(listeners)));
}

function welcome(listeners: readonly Listener[]): string {
  const http = listeners.find(({ protocol }) => protocol === "http")?.url ?? "";
  const grpc = new URL(listeners.find(({ protocol }) => protocol === "grpc")?.url ?? "http://localhost").host;
  const status = listeners.find(({ protocol }) => protocol === "management")?.url;
  const page = status === undefined ? "" : `\n  ${status} in a browser shows how the relay is`;
  const request = `{"sdkKey":"${SDK_KEY}"}`;
  return `
The relay serves a sample project that changes every ${CHANGE_EVERY_MS / 1_000} s, for the SDK key ${SDK_KEY}.
${listeners.map(({ protocol, url }) => `  ${protocol}  ${url}`).join("\n")}

Try:
  curl --compressed ${http}/v2/download_config_specs/${SDK_KEY}.json
  curl -H 'content-type: application/json' -d '${request}' ${http}/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec
  grpcurl -plaintext -d '${request}' ${grpc} statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec${page}

`;
}
