import { readFileSync } from "node:fs";
import { redactUserInfo } from "../../access/redact.ts";
import { describeErrno } from "../../platform/errors.ts";
import {
  OTLP_PROTOCOLS,
  type OtlpMetricsOptions,
  type OtlpProtocol,
  type OtlpTracesOptions,
  TRACE_SAMPLERS,
} from "../../telemetry/otlp/options.ts";
import type { OptionGroup, VariableSpec } from "../option.ts";
import {
  ConfigError,
  type Environment,
  formatAlternatives,
  HTTP_URL,
  invalidSecret,
  invalidValue,
  readWholeNumberVariable,
  type Settings,
} from "../settings.ts";

const DEFAULT_INTERVAL_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_SPAN_DELAY_MS = 5_000;
const DEFAULT_SPAN_QUEUE_SIZE = 2_048;
const DEFAULT_SPAN_BATCH_SIZE = 512;

/** Returns undefined if `--otlp-logging` is off. Throws {@link ConfigError}. */
export function readOtlpMetrics(settings: Settings, env: Environment): OtlpMetricsOptions | undefined {
  if (!settings.flag(OTLP.otlpLogging)) return undefined;
  const protocol = readProtocol(env, "METRICS");
  const intervalMs = readWholeNumberVariable(env, "OTEL_METRIC_EXPORT_INTERVAL", {
    otherwise: DEFAULT_INTERVAL_MS,
    min: 1,
  });
  const timeoutMs = readWholeNumberVariable(env, "OTEL_METRIC_EXPORT_TIMEOUT", {
    otherwise: Math.min(DEFAULT_TIMEOUT_MS, intervalMs),
    min: 1,
  });
  const url = readOriginalEndpoint(env, protocol);
  if (timeoutMs <= intervalMs) return { protocol, url, intervalMs, timeoutMs };
  const expected = `at most OTEL_METRIC_EXPORT_INTERVAL, which is ${intervalMs}`;
  throw invalidValue("OTEL_METRIC_EXPORT_TIMEOUT", String(timeoutMs), expected);
}

const ORIGINAL_ENDPOINT = "OTEL_EXPORTER_ENDPOINT";

/**
 * Returns the URL of the variable that the original proxy had up to 4.4, for metrics alone. Like there it is the whole URL; only
 * where it has no path, that of OTLP is added. The standard variables override it. Throws {@link ConfigError}.
 */
function readOriginalEndpoint(env: Environment, protocol: OtlpProtocol): string | undefined {
  const given = env[ORIGINAL_ENDPOINT]?.trim();
  if (!given || findVariables(env, "ENDPOINT", "METRICS").length > 0) return undefined;
  if (!isEndpoint(given, protocol)) throw invalidValue(ORIGINAL_ENDPOINT, redactUserInfo(given), HTTP_URL);
  if (protocol === "grpc" || new URL(given).pathname !== "/") return given;
  return new URL("/v1/metrics", given).href;
}

/** Returns undefined if `--otlp-tracing` is off. Throws {@link ConfigError}. */
export function readOtlpTraces(settings: Settings, env: Environment): OtlpTracesOptions | undefined {
  if (!settings.flag(OTLP.otlpTracing)) return undefined;
  const maxQueueSize = readWholeNumberVariable(env, "OTEL_BSP_MAX_QUEUE_SIZE", {
    otherwise: DEFAULT_SPAN_QUEUE_SIZE,
    min: 1,
  });
  const maxBatchSize = readWholeNumberVariable(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", {
    otherwise: Math.min(DEFAULT_SPAN_BATCH_SIZE, maxQueueSize),
    min: 1,
  });
  if (maxBatchSize > maxQueueSize) {
    const expected = `at most OTEL_BSP_MAX_QUEUE_SIZE, which is ${maxQueueSize}`;
    throw invalidValue("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", String(maxBatchSize), expected);
  }
  return {
    protocol: readProtocol(env, "TRACES"),
    sampler: readWord(env, ["OTEL_TRACES_SAMPLER"], TRACE_SAMPLERS),
    ratio: readRatio(env["OTEL_TRACES_SAMPLER_ARG"]),
    maxQueueSize,
    maxBatchSize,
    delayMs: readWholeNumberVariable(env, "OTEL_BSP_SCHEDULE_DELAY", {
      otherwise: DEFAULT_SPAN_DELAY_MS,
      min: 1,
    }),
    timeoutMs: readWholeNumberVariable(env, "OTEL_BSP_EXPORT_TIMEOUT", {
      otherwise: DEFAULT_TIMEOUT_MS,
      min: 1,
    }),
  };
}

function readProtocol(env: Environment, signal: "METRICS" | "TRACES"): OtlpProtocol {
  const names = [`OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`, "OTEL_EXPORTER_OTLP_PROTOCOL"];
  const protocol = readWord(env, names, OTLP_PROTOCOLS);
  refuseBadExporterVariables(env, signal, protocol);
  return protocol;
}

/** Returns the value of the first variable that is set, or the first word if none is. */
function readWord<T extends string>(
  env: Environment,
  names: readonly string[],
  words: readonly [T, ...T[]],
): T {
  const name = names.find((each) => env[each]);
  if (name === undefined) return words[0];
  const word = words.find((each) => each === env[name]);
  if (word !== undefined) return word;
  throw invalidValue(name, String(env[name]), formatAlternatives(words));
}

function readRatio(given: string | undefined): number {
  if (!given) return 1;
  const ratio = /^\d*\.?\d+$/.test(given) ? Number(given) : Number.NaN;
  if (ratio <= 1) return ratio;
  throw invalidValue("OTEL_TRACES_SAMPLER_ARG", given, "a number from 0 to 1");
}

interface ExporterVariable {
  /** What follows `OTEL_EXPORTER_OTLP_`, or that and the signal. */
  readonly name: string;
  readonly expected: string;
  readonly isValid: (value: string, protocol: OtlpProtocol) => boolean;
}

const EXPORTER_VARIABLES: readonly ExporterVariable[] = [
  { name: "ENDPOINT", expected: HTTP_URL, isValid: isEndpoint },
  { name: "TIMEOUT", expected: "milliseconds, more than 0", isValid: (value) => Number(value) > 0 },
  { name: "COMPRESSION", expected: "gzip or none", isValid: (value) => ["gzip", "none"].includes(value) },
  {
    name: "TEMPORALITY_PREFERENCE",
    expected: "cumulative, delta or lowmemory",
    isValid: (value) => ["cumulative", "delta", "lowmemory"].includes(value.toLowerCase()),
  },
];

const EXPORTER_FILES = ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"];

/**
 * OpenTelemetry's exporters read these variables themselves. They replace an invalid value by a default without an error, so that
 * data would silently go nowhere or elsewhere. Throws {@link ConfigError}.
 */
function refuseBadExporterVariables(
  env: Environment,
  signal: "METRICS" | "TRACES",
  protocol: OtlpProtocol,
): void {
  for (const { name, expected, isValid } of EXPORTER_VARIABLES) {
    for (const [variable, value] of findVariables(env, name, signal)) {
      if (!isValid(value, protocol)) throw invalidValue(variable, redactUserInfo(value), expected);
    }
  }
  for (const [variable, value] of findVariables(env, "HEADERS", signal)) refuseBadHeaders(variable, value);
  refuseBadAttributes(env["OTEL_RESOURCE_ATTRIBUTES"]?.trim() ?? "");
  for (const [variable, path] of EXPORTER_FILES.flatMap((name) => findVariables(env, name, signal))) {
    refuseUnreadable(variable, path);
  }
}

const KEY_VALUE_LIST = "a comma-separated list of key=value";

function refuseBadAttributes(text: string): void {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  if (parts.every((part) => /^\s*[^=\s][^=]*=[^=]*$/.test(part))) return;
  throw invalidValue("OTEL_RESOURCE_ATTRIBUTES", text, KEY_VALUE_LIST);
}

/** The exporter drops a malformed header, and the collector would then reject everything. Headers may hold secrets. */
function refuseBadHeaders(variable: string, text: string): void {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  if (parts.every((part) => /^\s*[^=\s]+\s*=\s*\S/.test(part))) return;
  throw invalidSecret(variable, KEY_VALUE_LIST);
}

function refuseUnreadable(variable: string, path: string): void {
  try {
    readFileSync(path);
  } catch (error) {
    throw new ConfigError(`cannot read ${variable} "${path}": ${describeErrno(error)}`);
  }
}

function findVariables(env: Environment, name: string, signal: string): (readonly [string, string])[] {
  const names = [`OTEL_EXPORTER_OTLP_${signal}_${name}`, `OTEL_EXPORTER_OTLP_${name}`];
  return names.flatMap((each) => {
    const value = env[each]?.trim();
    return value ? [[each, value] as const] : [];
  });
}

/** Over gRPC the endpoint may be a host and port without a scheme. */
function isEndpoint(value: string, protocol: OtlpProtocol): boolean {
  if (protocol === "grpc" && /^[^/:]+:\d+$/.test(value)) return true;
  return /^https?:\/\//.test(value) && URL.canParse(value);
}

/** The options of OTLP, in the order of `--help`. */
export const OTLP = {
  otlpLogging: {
    name: "otlp-logging",
    kind: "flag",
    description: "Send metrics over OTLP to OTEL_EXPORTER_OTLP_ENDPOINT",
  },
  otlpTracing: {
    name: "otlp-tracing",
    kind: "flag",
    description: "Send traces over OTLP: polls, cache misses, backup and log events",
  },
} as const satisfies OptionGroup;

/** Each of them applies to metrics and traces; with METRICS_ or TRACES_ after OTLP_ it overrides that for one of them. */
const SHARED_VARIABLES: readonly VariableSpec[] = [
  {
    name: "ENDPOINT",
    default: "http://localhost:4318, over gRPC http://localhost:4317",
    description: "URL of the collector",
  },
  { name: "PROTOCOL", default: "http/protobuf", description: "Protocol: http/protobuf, http/json or grpc" },
  { name: "HEADERS", isSecret: true, description: "Headers of each request, comma-separated name=value" },
  { name: "TIMEOUT", default: "10000", description: "Timeout of a request to the collector in milliseconds" },
  { name: "COMPRESSION", default: "none", description: "Compression of requests: gzip or none" },
  {
    name: "CERTIFICATE",
    description: "PEM file with the CA certificates that signed the collector's certificate",
  },
  {
    name: "CLIENT_CERTIFICATE",
    description: "PEM file with the relay's client certificate for the collector",
  },
  { name: "CLIENT_KEY", description: "PEM file with the private key of that client certificate" },
  {
    name: "INSECURE",
    default: "false",
    description: "Whether to use plaintext gRPC if the endpoint has no scheme: true or false",
  },
];

/** The variables of OTLP, whether OpenTelemetry's libraries or the relay read them. */
export const OTLP_VARIABLES: readonly VariableSpec[] = [
  ...SHARED_VARIABLES.map((variable) => {
    const nameFor = (signal: string) => `OTEL_EXPORTER_OTLP_${signal}${variable.name}`;
    return { ...variable, name: nameFor(""), variants: [nameFor("METRICS_"), nameFor("TRACES_")] };
  }),
  {
    name: ORIGINAL_ENDPOINT,
    description:
      "URL for metrics, as in the original proxy up to 4.4, used only without OTEL_EXPORTER_OTLP_ENDPOINT; /v1/metrics is added if it has no path",
  },
  {
    name: "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    default: "cumulative",
    description: "Temporality of counters and histograms: cumulative, delta or lowmemory",
  },
  {
    name: "OTEL_METRIC_EXPORT_INTERVAL",
    default: "60000",
    description: "Interval of sending metrics over OTLP in milliseconds",
  },
  {
    name: "OTEL_METRIC_EXPORT_TIMEOUT",
    default: "30000",
    description: "Timeout of sending metrics in milliseconds",
  },
  { name: "OTEL_SERVICE_NAME", default: "statsig-forward-proxy", description: "Service name of the relay" },
  {
    name: "OTEL_RESOURCE_ATTRIBUTES",
    description: "Further resource attributes of the relay, comma-separated key=value",
  },
  {
    name: "OTEL_TRACES_SAMPLER",
    default: "parentbased_always_on",
    description: "Sampler that decides which traces are sent",
  },
  {
    name: "OTEL_TRACES_SAMPLER_ARG",
    default: "1",
    description: "Ratio for a ratio-based sampler, from 0 to 1",
  },
  { name: "OTEL_BSP_MAX_QUEUE_SIZE", default: "2048", description: "Maximum queued spans" },
  { name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default: "512", description: "Maximum spans per request" },
  {
    name: "OTEL_BSP_SCHEDULE_DELAY",
    default: "5000",
    description: "Interval of sending spans in milliseconds",
  },
  {
    name: "OTEL_BSP_EXPORT_TIMEOUT",
    default: "30000",
    description: "Timeout of sending spans in milliseconds",
  },
];
