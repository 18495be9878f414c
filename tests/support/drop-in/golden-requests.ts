import { GOLDEN_ENV, GOLDEN_KEYS, GOLDEN_LCUT } from "../../drop-in/metrics.rows.ts";
import { GrpcClient } from "../clients/grpc-client.ts";
import { rawGet } from "../clients/raw-get.ts";
import { eventually } from "../common/wait.ts";
import { type RelayProcess, startRelayProcess } from "../relay/relay-process.ts";
import { UdpListener } from "../telemetry/udp-listener.ts";
import { specV1, specV2 } from "../upstream/payloads.ts";
import { startUpstream } from "../upstream/upstream.ts";
import { type LineForm, parseForms } from "./metric-lines.ts";

const { known, rejected, rejectedByStream } = GOLDEN_KEYS;

/** What an SDK says about itself, in requests for config specs v2. */
export const SDK_HEADERS = {
  "statsig-sdk-type": "py-server",
  "statsig-sdk-version": "0.72.1",
  "x-request-service": "checkout",
} as const;

/** Sends the requests of the recorded lines to a relay, and returns the lines that it sends. */
export async function replayGoldenRequests(
  sink: "statsd" | "datadog",
  args: readonly string[] = [],
): Promise<readonly LineForm[]> {
  await using upstream = await startUpstream({ encodings: ["br"] });
  const spec = { sdkKey: known, lcut: GOLDEN_LCUT };
  upstream.publish(known, "v1", specV1(spec), GOLDEN_LCUT);
  upstream.publish(known, "v2", specV2(spec), GOLDEN_LCUT);
  using agent = await UdpListener.start();
  await using relay = await startRelayProcess({
    upstream,
    mode: "grpc-and-http",
    pollIntervalS: 1,
    args: [`--${sink}-logging`, ...args],
    env: {
      ...GOLDEN_ENV,
      STATSD_PORT_OVERRIDE: String(agent.port),
      DATADOG_MAX_BATCH_TIME_MS: "300",
      LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
    },
  });
  await sendHttp(relay);
  await sendGrpc(relay);
  const sent = () => parseForms(agent.datagrams);
  await eventually(() => {
    const polled = sent().filter(({ metric }) => metric === "HttpDataProviderNoData.count");
    if (new Set(polled.map(({ tags }) => tags[1])).size < 2) throw new Error("not both feeds were polled");
  });
  await relay.stop();
  await agent.readAll();
  return sent();
}

async function sendHttp({ httpUrl }: RelayProcess): Promise<void> {
  const v2 = `${httpUrl}/v2/download_config_specs`;
  await rawGet(`${v2}/${known}.json`, { "accept-encoding": "gzip, br", ...SDK_HEADERS });
  await rawGet(`${v2}/${known}.json?sinceTime=${GOLDEN_LCUT}`, SDK_HEADERS);
  await rawGet(`${httpUrl}/v1/download_config_specs/${known}.json`);
  await rawGet(`${v2}/${rejected}.json`);
  await rawGet(`${httpUrl}/nope`);
  await rawGet(`${httpUrl}/v1/health`);
  const exposure = {
    eventName: "statsig::gate_exposure",
    time: 1,
    user: { userID: "u" },
    metadata: { gate: "g", gateValue: "true", ruleID: "r" },
  };
  await fetch(`${httpUrl}/v1/log_event`, {
    method: "POST",
    headers: { "statsig-api-key": known, "accept-encoding": "" },
    body: JSON.stringify({ events: [exposure, exposure] }),
  });
}

async function sendGrpc({ grpcUrl }: RelayProcess): Promise<void> {
  using client = new GrpcClient(grpcUrl);
  for (const version of [1, 2] as const) {
    using stream = client.streamConfigSpec({ sdkKey: known, version });
    await stream.next();
  }
  for (const request of [
    { sdkKey: rejectedByStream, version: 2 },
    { sdkKey: "", version: 1 },
    { sdkKey: "secret/../x", version: 2 },
  ] as const) {
    using stream = client.streamConfigSpec(request);
    await stream.status();
  }
}
