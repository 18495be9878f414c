import type { OtlpProtocol } from "../../../src/telemetry/otlp/options.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "../relay/relay-process.ts";
import { specV1 } from "../upstream/payloads.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";
import { startOtlpGrpc } from "./otlp-grpc-receiver.ts";
import { type OtlpReceiver, type OtlpTls, startOtlpHttp } from "./otlp-receiver.ts";

export const PROTOCOLS = ["http/protobuf", "http/json", "grpc"] as const satisfies readonly OtlpProtocol[];

export const startOtlpReceiver = (protocol: OtlpProtocol, tls?: OtlpTls): Promise<OtlpReceiver> => {
  const options = tls === undefined ? {} : { tls };
  return protocol === "grpc" ? startOtlpGrpc(options) : startOtlpHttp(options);
};

export interface OtlpRelayOptions extends RelayOptions {
  readonly protocol?: OtlpProtocol;
  /** The URL of the collector. */
  readonly endpoint: string;
}

/** Starts a relay that sends metrics and traces at short intervals. `options` override its settings. */
export function startOtlpRelay({ protocol, endpoint, ...options }: OtlpRelayOptions): Promise<RelayProcess> {
  return startRelayProcess({
    args: ["--otlp-logging", "--otlp-tracing"],
    ...options,
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      ...(protocol && { OTEL_EXPORTER_OTLP_PROTOCOL: protocol }),
      OTEL_METRIC_EXPORT_INTERVAL: "200",
      OTEL_BSP_SCHEDULE_DELAY: "100",
      ...options.env,
    },
  });
}

/** Starts an upstream with a config spec for one SDK key. */
export async function startKnownUpstream(key: string): Promise<Upstream> {
  const upstream = await startUpstream();
  upstream.publish(key, "v1", specV1({ lcut: 1_000 }));
  return upstream;
}

export async function ask(relay: RelayProcess, key: string, times = 1): Promise<void> {
  for (let i = 0; i < times; i++) {
    const response = await fetch(`${relay.httpUrl}/v1/download_config_specs/${key}.json`);
    if (response.status !== 200) throw new Error(`the relay answered ${response.status}`);
    await response.arrayBuffer();
  }
}
