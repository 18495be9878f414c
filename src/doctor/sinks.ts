import type { SdkKey } from "../access/sdk-key.ts";
import type { Config } from "../config/config.ts";
import { displayUrl, type Environment } from "../config/settings.ts";
import type { OtlpProtocol } from "../telemetry/otlp/options.ts";
import type { EmptyExport } from "../telemetry/otlp/probe.ts";
import type { StatsdPlace } from "../telemetry/push/statsd.ts";
import type { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { type Check, type CheckResult, failed, ok, skipped } from "./check.ts";
import { sendEmptyBatch } from "./log-events.ts";

interface OtlpSink {
  readonly signal: EmptyExport["signal"];
  readonly protocol: OtlpProtocol;
  /** As in `OtlpMetricsOptions`. */
  readonly url: string | undefined;
  /** Where the exporter sends data, without user, password and query. */
  readonly shownUrl: string;
}

interface StatsigSinkToCheck {
  readonly sdkKey: SdkKey;
  readonly endpoint: UpstreamEndpoint;
  /** Without user and password. */
  readonly shownUrl: string;
}

interface SinksToCheck {
  readonly otlp: readonly OtlpSink[];
  /** Undefined if metrics are sent to neither StatsD nor Datadog's agent. */
  readonly statsd: StatsdPlace | undefined;
  readonly statsig: StatsigSinkToCheck | undefined;
}

const TIMEOUT_MS = 4_000;

/** Returns the sinks that are turned on. `events`: where log events are sent, and so the metrics of `--statsig-logging`. */
export function findSinks(
  { monitoring: { otlpMetrics, otlpTraces, statsd, statsig } }: Config,
  env: Environment,
  events: Pick<StatsigSinkToCheck, "endpoint" | "shownUrl">,
): SinksToCheck {
  const toSink = (signal: OtlpSink["signal"], protocol: OtlpProtocol, url?: string): OtlpSink => {
    return { signal, protocol, url, shownUrl: findOtlpUrl(env, { signal, protocol, url }) };
  };
  return {
    otlp: [
      ...(otlpMetrics === undefined ? [] : [toSink("metrics", otlpMetrics.protocol, otlpMetrics.url)]),
      ...(otlpTraces === undefined ? [] : [toSink("traces", otlpTraces.protocol)]),
    ],
    statsd: statsd?.place,
    statsig: statsig && { sdkKey: statsig.sdkKey, ...events },
  };
}

/** Returns the URL that the exporter takes from the standard variables, without user, password and query. */
function findOtlpUrl(env: Environment, { signal, protocol, url }: Omit<OtlpSink, "shownUrl">): string {
  const whole = url ?? env[`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`]?.trim();
  if (whole) return whole.includes("://") ? displayUrl(whole) : whole;
  const isGrpc = protocol === "grpc";
  const given = env["OTEL_EXPORTER_OTLP_ENDPOINT"]?.trim() || `http://localhost:${isGrpc ? 4317 : 4318}`;
  if (!given.includes("://")) return given;
  return isGrpc ? displayUrl(given) : `${displayUrl(given)}/v1/${signal}`;
}

/** Checks whether the destinations of metrics and traces that are turned on accept data. None of them gets a metric or a span. */
export function sinksCheck({ otlp, statsd, statsig }: SinksToCheck): Check {
  return {
    name: "sinks",
    run: async (signal) => {
      const results = await Promise.all([
        ...otlp.map(checkOtlp),
        ...(statsd === undefined ? [] : [checkStatsd(statsd)]),
        ...(statsig === undefined ? [] : [checkStatsig(statsig, signal)]),
      ]);
      return results.length > 0 ? results : [skipped("metrics and traces are sent nowhere")];
    },
  };
}

async function checkOtlp(sink: OtlpSink): Promise<CheckResult> {
  const { sendEmptyExport } = await import("../telemetry/otlp/probe.ts");
  const { signal, protocol, url, shownUrl } = sink;
  const shown = `OTLP ${signal}: ${shownUrl}`;
  const problem = await sendEmptyExport({ signal, protocol, url, timeoutMs: TIMEOUT_MS });
  if (problem === undefined) return ok(`${shown} accepts an empty export over ${protocol}`);
  const other = protocol === "grpc" ? "http/protobuf" : "grpc";
  const mayBeOther = !ABOUT_BOTH.test(problem);
  const isOther =
    mayBeOther &&
    (await sendEmptyExport({ signal, protocol: other, url, timeoutMs: TIMEOUT_MS })) === undefined;
  const detail = `${shown} accepts no export over ${protocol}: ${problem}`;
  return isOther
    ? failed(`${detail}; over ${other} it does`, `set OTEL_EXPORTER_OTLP_PROTOCOL to ${other}`)
    : failed(detail, findOtlpFix(problem, signal));
}

/** Failures that another protocol would have as well. */
const ABOUT_BOTH = /refused|not found|lookup|answered|trusted|expired|another host/;

function findOtlpFix(problem: string, signal: OtlpSink["signal"]): string {
  const forOne = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`;
  if (/trusted/.test(problem))
    return "set OTEL_EXPORTER_OTLP_CERTIFICATE to a file with the CA certificates of the collector";
  if (/answered (401|403)/.test(problem))
    return "correct the credentials of the collector in OTEL_EXPORTER_OTLP_HEADERS";
  if (/answered 404/.test(problem))
    return `correct OTEL_EXPORTER_OTLP_ENDPOINT, to which /v1/${signal} is added, or ${forOne}, which is the whole URL`;
  return `start the collector, allow connections to it, or correct OTEL_EXPORTER_OTLP_ENDPOINT or ${forOne}; collectors take HTTP on port 4318 and gRPC on 4317`;
}

async function checkStatsig(statsig: StatsigSinkToCheck, signal: AbortSignal): Promise<CheckResult> {
  const result = await sendEmptyBatch({ ...statsig, setting: "STATSIG_SERVER_SDK_KEY" }, signal);
  return { ...result, detail: `Statsig: ${result.detail}` };
}

/** Ignored by StatsD and Datadog's agent, as the end of a line without a metric. */
const NO_METRIC = new Uint8Array([0x0a]);

async function checkStatsd(place: StatsdPlace): Promise<CheckResult> {
  const { openUdp, openUnix } = await import("../telemetry/push/statsd-socket.ts");
  const isUdp = place.kind === "udp";
  try {
    using socket = isUdp ? await openUdp(place) : openUnix(place.path);
    await socket.send(NO_METRIC);
    await socket.confirm();
  } catch (error) {
    const fix = isUdp
      ? "start the agent, or correct STATSD_HOST_OVERRIDE and STATSD_PORT_OVERRIDE"
      : "start the agent, mount its socket, or correct STATSD_SOCKET";
    return failed(`StatsD: ${(error as Error).message}`, fix);
  }
  if (!isUdp) return ok(`StatsD: ${place.path} takes datagrams`);
  return ok(
    `StatsD: UDP ${place.host}:${place.port} refused nothing; UDP cannot show whether an agent receives it`,
  );
}
