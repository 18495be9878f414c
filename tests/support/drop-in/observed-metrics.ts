import { GOLDEN_KEYS, GOLDEN_LCUT } from "../../drop-in/metrics.rows.ts";
import { rawGet } from "../clients/raw-get.ts";
import { eventually } from "../common/wait.ts";
import { decodeForwarded } from "../log-events/event-relay.ts";
import { type RelayProcess, startRelayProcess } from "../relay/relay-process.ts";
import { type Received, startOtlpHttp } from "../telemetry/otlp-receiver.ts";
import { UdpListener } from "../telemetry/udp-listener.ts";
import { specV2 } from "../upstream/payloads.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";
import { SDK_HEADERS } from "./golden-requests.ts";

const SDK_KEY = GOLDEN_KEYS.known;
const STATSIG_KEY = "secret-of-the-project-for-metrics";

interface StatsigEvent {
  readonly eventName: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What two relays sent: one to StatsD with Datadog's types, the other to Statsig and over OTLP. */
export interface ObservedMetrics {
  readonly datagrams: readonly string[];
  /** What the first relay printed. */
  readonly output: string;
  /** The events of each request. */
  readonly events: readonly (readonly StatsigEvent[])[];
  readonly exports: readonly Received[];
  readonly exitCodes: readonly number[];
}

export async function observeMetrics(): Promise<ObservedMetrics> {
  await using upstream = await startUpstream();
  upstream.publish(SDK_KEY, "v2", specV2({ sdkKey: SDK_KEY, lcut: GOLDEN_LCUT }), GOLDEN_LCUT);
  const [ofStatsd, ofEvents] = await Promise.all([observeStatsd(upstream), observeEvents(upstream)]);
  return { ...ofStatsd, ...ofEvents, exitCodes: [ofStatsd.exitCode, ofEvents.exitCode] };
}

async function observeStatsd(upstream: Upstream) {
  using agent = await UdpListener.start();
  await using relay = await startRelayProcess({
    upstream,
    mode: "http",
    args: [
      ...["--statsd-logging", "--datadog-logging", "--debug-logging", "--push-tag-format", "4.4"],
      ...["--config-spec-current-lcut-sampling-interval-in-s", "0"],
    ],
    env: {
      STATSD_PORT_OVERRIDE: String(agent.port),
      DATADOG_MAX_BATCH_TIME_MS: "200",
      DOGSTATSD_MAX_BUFFER_SIZE: "700",
      DOGSTATSD_MAX_TIME_MS: "5",
    },
  });
  // Before any request.
  await eventually(() => {
    if (!agent.datagrams.join("\n").includes("Ready.gauge")) throw new Error("nothing was sent");
  });
  await ask(relay);
  const exitCode = await relay.stop();
  await eventually(() => {
    if (!agent.datagrams.join("\n").includes("path:/v1/health"))
      throw new Error("the last lines are missing");
  });
  return { datagrams: agent.datagrams, output: relay.output(), exitCode };
}

async function ask({ httpUrl }: RelayProcess): Promise<void> {
  const url = `${httpUrl}/v2/download_config_specs/${SDK_KEY}.json`;
  await rawGet(url, { "accept-encoding": "gzip, br", ...SDK_HEADERS });
  await rawGet(url, { "accept-encoding": "gzip, br", ...SDK_HEADERS });
  await rawGet(`${url}?sinceTime=${GOLDEN_LCUT}`, SDK_HEADERS);
  await rawGet(url);
  await rawGet(url, { "x-request-service": SDK_KEY });
  await rawGet(`${httpUrl}/v1/health`);
}

async function observeEvents(upstream: Upstream) {
  await using collector = await startOtlpHttp();
  await using relay = await startExporting(
    {
      OTEL_EXPORTER_ENDPOINT: `${collector.url}/custom/metrics`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      STATSIG_SERVER_SDK_KEY: STATSIG_KEY,
      LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
    },
    { upstream, args: ["--statsig-logging"] },
  );
  await ask(relay);
  await eventually(() => {
    if (!JSON.stringify(collector.points.map(({ name }) => name)).includes("HttpServerRequestSuccess"))
      throw new Error("the collector has no requests");
  });
  const exitCode = await relay.stop();
  const events = upstream.requests
    .filter(({ headers }) => headers["statsig-api-key"] === STATSIG_KEY)
    .map((request) => decodeForwarded(request).events as readonly StatsigEvent[]);
  return { events, exports: collector.received, exitCode };
}

interface ExportingOptions {
  readonly upstream?: Upstream;
  readonly args?: readonly string[];
}

/** Starts a relay that exports metrics over OTLP at short intervals. */
export function startExporting(
  env: Readonly<Record<string, string>>,
  { upstream, args = [] }: ExportingOptions = {},
): Promise<RelayProcess> {
  return startRelayProcess({
    ...(upstream !== undefined && { upstream }),
    mode: "http",
    args: ["--otlp-logging", ...args],
    env: { OTEL_METRIC_EXPORT_INTERVAL: "200", ...env },
  });
}
