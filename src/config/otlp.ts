import { readFileSync } from "node:fs";
import { redactUserInfo } from "../access/sdk-key.ts";
import { describeUnreadable } from "../platform/file-watch.ts";
import {
  OTLP_PROTOCOLS,
  type OtlpMetricsOptions,
  type OtlpProtocol,
  type OtlpTracesOptions,
  TRACE_SAMPLERS,
} from "../telemetry/otlp/options.ts";
import { MONITORING } from "./monitoring.ts";
import type { VariableSpec } from "./option.ts";
import { ConfigError, type Environment, readWholeNumberVariable, type Settings } from "./settings.ts";

const DEFAULT_INTERVAL_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_SPAN_DELAY_MS = 5_000;
const DEFAULT_SPAN_QUEUE_SIZE = 2_048;
const DEFAULT_SPAN_BATCH_SIZE = 512;

/** `--otlp-logging`; undefined where it is off. Throws ConfigError. */
export function readOtlpMetrics(settings: Settings, env: Environment): OtlpMetricsOptions | undefined {
  if (!settings.flag(MONITORING.otlpLogging)) return undefined;
  const protocol = readProtocol(env, "METRICS");
  const intervalMs = readWholeNumberVariable(env, "OTEL_METRIC_EXPORT_INTERVAL", {
    otherwise: DEFAULT_INTERVAL_MS,
    min: 1,
  });
  const timeoutMs = readWholeNumberVariable(env, "OTEL_METRIC_EXPORT_TIMEOUT", {
    otherwise: Math.min(DEFAULT_TIMEOUT_MS, intervalMs),
    min: 1,
  });
  if (timeoutMs <= intervalMs) return { protocol, intervalMs, timeoutMs };
  throw new ConfigError(
    `OTEL_METRIC_EXPORT_TIMEOUT is "${timeoutMs}", allowed is at most OTEL_METRIC_EXPORT_INTERVAL, which is ${intervalMs}`,
  );
}

/** `--otlp-tracing`; undefined where it is off. Throws ConfigError. */
export function readOtlpTraces(settings: Settings, env: Environment): OtlpTracesOptions | undefined {
  if (!settings.flag(MONITORING.otlpTracing)) return undefined;
  const maxQueueSize = readWholeNumberVariable(env, "OTEL_BSP_MAX_QUEUE_SIZE", {
    otherwise: DEFAULT_SPAN_QUEUE_SIZE,
    min: 1,
  });
  const maxBatchSize = readWholeNumberVariable(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", {
    otherwise: Math.min(DEFAULT_SPAN_BATCH_SIZE, maxQueueSize),
    min: 1,
  });
  if (maxBatchSize > maxQueueSize) {
    throw new ConfigError(
      `OTEL_BSP_MAX_EXPORT_BATCH_SIZE is "${maxBatchSize}", allowed is at most OTEL_BSP_MAX_QUEUE_SIZE, which is ${maxQueueSize}`,
    );
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

/** Of the first variable that is set; the first word where none is. */
function readWord<T extends string>(
  env: Environment,
  names: readonly string[],
  words: readonly [T, ...T[]],
): T {
  const name = names.find((each) => env[each]);
  if (name === undefined) return words[0];
  const word = words.find((each) => each === env[name]);
  if (word !== undefined) return word;
  throw new ConfigError(`${name} is "${env[name]}", allowed is ${words.join(", ")}`);
}

function readRatio(given: string | undefined): number {
  if (!given) return 1;
  const ratio = /^\d*\.?\d+$/.test(given) ? Number(given) : Number.NaN;
  if (ratio <= 1) return ratio;
  throw new ConfigError(`OTEL_TRACES_SAMPLER_ARG is "${given}", allowed is a number from 0 to 1`);
}

interface Variable {
  /** After `OTEL_EXPORTER_OTLP_`, and after that and the signal. */
  readonly name: string;
  readonly allowed: string;
  readonly isGood: (value: string, protocol: OtlpProtocol) => boolean;
}

const VARIABLES: readonly Variable[] = [
  { name: "ENDPOINT", allowed: "an http:// or https:// URL", isGood: isEndpoint },
  { name: "TIMEOUT", allowed: "milliseconds, more than 0", isGood: (value) => Number(value) > 0 },
  { name: "COMPRESSION", allowed: "gzip or none", isGood: (value) => ["gzip", "none"].includes(value) },
  {
    name: "TEMPORALITY_PREFERENCE",
    allowed: "cumulative, delta or lowmemory",
    isGood: (value) => ["cumulative", "delta", "lowmemory"].includes(value.toLowerCase()),
  },
];

const FILES = ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"];

/**
 * OpenTelemetry's exporters read these themselves, and go on with a default where one makes no sense: to send
 * nothing, or to somewhere else, unawares. Throws ConfigError.
 */
function refuseBadExporterVariables(
  env: Environment,
  signal: "METRICS" | "TRACES",
  protocol: OtlpProtocol,
): void {
  for (const { name, allowed, isGood } of VARIABLES) {
    for (const [variable, value] of given(env, name, signal)) {
      if (isGood(value, protocol)) continue;
      throw new ConfigError(`${variable} is "${redactUserInfo(value)}", allowed is ${allowed}`);
    }
  }
  for (const [variable, value] of given(env, "HEADERS", signal)) refuseBadHeaders(variable, value);
  refuseBadAttributes(env["OTEL_RESOURCE_ATTRIBUTES"]?.trim() ?? "");
  for (const [variable, path] of FILES.flatMap((name) => given(env, name, signal))) {
    refuseUnreadable(variable, path);
  }
}

function refuseBadAttributes(text: string): void {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  if (parts.every((part) => /^\s*[^=\s][^=]*=[^=]*$/.test(part))) return;
  throw new ConfigError(`OTEL_RESOURCE_ATTRIBUTES is "${text}", allowed is a comma list of key=value`);
}

/** Without one that can't be read a collector would say no to everything. They are secrets. */
function refuseBadHeaders(variable: string, text: string): void {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  if (parts.every((part) => /^\s*[^=\s]+\s*=\s*\S/.test(part))) return;
  throw new ConfigError(`${variable} is malformed (not shown here), allowed is a comma list of key=value`);
}

function refuseUnreadable(variable: string, path: string): void {
  try {
    readFileSync(path);
  } catch {
    throw new ConfigError(`Cannot read ${variable} "${path}": ${describeUnreadable(path)}`);
  }
}

function given(env: Environment, name: string, signal: string): (readonly [string, string])[] {
  const names = [`OTEL_EXPORTER_OTLP_${signal}_${name}`, `OTEL_EXPORTER_OTLP_${name}`];
  return names.flatMap((each) => {
    const value = env[each]?.trim();
    return value ? [[each, value] as const] : [];
  });
}

/** Over gRPC a host and a port alone will do. */
function isEndpoint(value: string, protocol: OtlpProtocol): boolean {
  if (protocol === "grpc" && /^[^/:]+:\d+$/.test(value)) return true;
  return /^https?:\/\//.test(value) && URL.canParse(value);
}

/** Of metrics and traces together, and with METRICS_ or TRACES_ after OTLP_ of one alone, which goes before. */
const OF_EXPORTERS: readonly VariableSpec[] = [
  {
    name: "ENDPOINT",
    default: "http://localhost:4318, over gRPC http://localhost:4317",
    description: "Where the collector is",
  },
  { name: "PROTOCOL", default: "http/protobuf", description: "http/protobuf, http/json or grpc" },
  { name: "HEADERS", isSecret: true, description: "Headers of each request: name=value, a comma list" },
  { name: "TIMEOUT", default: "10000", description: "Milliseconds that the collector may take" },
  { name: "COMPRESSION", default: "none", description: "gzip or none" },
  { name: "CERTIFICATE", description: "A PEM file of the authorities of the collector's certificate" },
  { name: "CLIENT_CERTIFICATE", description: "A PEM file of a certificate for the collector" },
  { name: "CLIENT_KEY", description: "A PEM file of its private key" },
  { name: "INSECURE", default: "false", description: "Over gRPC, no TLS where the endpoint has no scheme" },
];

/** What OpenTelemetry's libraries read of OTLP, and what we read for them. */
export const OTLP_VARIABLES: readonly VariableSpec[] = [
  ...OF_EXPORTERS.map((variable) => {
    const nameOf = (signal: string) => `OTEL_EXPORTER_OTLP_${signal}${variable.name}`;
    return { ...variable, name: nameOf(""), variants: [nameOf("METRICS_"), nameOf("TRACES_")] };
  }),
  {
    name: "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    default: "cumulative",
    description: "cumulative, delta or lowmemory: totals, or what came since the last time",
  },
  {
    name: "OTEL_METRIC_EXPORT_INTERVAL",
    default: "60000",
    description: "How often metrics are sent by OTLP",
  },
  {
    name: "OTEL_METRIC_EXPORT_TIMEOUT",
    default: "30000",
    description: "Milliseconds after which a message of metrics has failed",
  },
  { name: "OTEL_SERVICE_NAME", default: "statsig-forward-proxy", description: "What the relay is called" },
  { name: "OTEL_RESOURCE_ATTRIBUTES", description: "What else is told of it: key=value, a comma list" },
  {
    name: "OTEL_TRACES_SAMPLER",
    default: "parentbased_always_on",
    description: "Which traces are sent",
  },
  { name: "OTEL_TRACES_SAMPLER_ARG", default: "1", description: "For a sampler by ratio: from 0 to 1" },
  { name: "OTEL_BSP_MAX_QUEUE_SIZE", default: "2048", description: "Spans that may wait" },
  { name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default: "512", description: "Spans of a message" },
  { name: "OTEL_BSP_SCHEDULE_DELAY", default: "5000", description: "How often spans are sent" },
  {
    name: "OTEL_BSP_EXPORT_TIMEOUT",
    default: "30000",
    description: "Milliseconds after which a message of spans has failed",
  },
];
