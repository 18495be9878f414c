import { startSampleUpstream } from "./upstream.ts";

const SDK_KEY = "secret-demo";
const CHANGE_EVERY_MS = 30_000;

interface Listener {
  readonly protocol: string;
  readonly url: string;
}

/** Runs a relay with these environment variables until it is stopped, and resolves with its exit code. */
type Serve = (
  env: Readonly<Record<string, string>>,
  announce: (listeners: readonly Listener[]) => void,
) => Promise<number>;

/** Runs a relay with a sample upstream, and prints commands to try. Resolves with the exit code. */
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
  return await serve(env, (listeners) => process.stdout.write(formatWelcome(listeners)));
}

function formatWelcome(listeners: readonly Listener[]): string {
  const http = listeners.find(({ protocol }) => protocol === "http")?.url ?? "";
  const grpc = new URL(listeners.find(({ protocol }) => protocol === "grpc")?.url ?? "http://localhost").host;
  const management = listeners.find(({ protocol }) => protocol === "management")?.url;
  const statusPage =
    management === undefined ? "" : `\n  open ${management} in a browser for the status page`;
  const request = `{"sdkKey":"${SDK_KEY}"}`;
  return `
The relay serves a sample project for the SDK key ${SDK_KEY}. The project changes every ${CHANGE_EVERY_MS / 1_000} s.
${listeners.map(({ protocol, url }) => `  ${protocol}  ${url}`).join("\n")}

Try:
  curl --compressed ${http}/v2/download_config_specs/${SDK_KEY}.json
  curl -N ${http}/v2/stream_config_specs/${SDK_KEY}
  curl -H 'content-type: application/json' -d '${request}' ${http}/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec
  grpcurl -plaintext -d '${request}' ${grpc} statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec${statusPage}

`;
}
