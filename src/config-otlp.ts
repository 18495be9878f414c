import { refuseBadExporterVariables } from "./exporter-variables.ts";
import { readWhole } from "./read-whole.ts";
import { ConfigError, type Environment, type Settings } from "./settings.ts";
import {
  OTLP_PROTOCOLS,
  type OtlpMetricsOptions,
  type OtlpProtocol,
  type OtlpTracesOptions,
  TRACE_SAMPLERS,
} from "./telemetry/otlp/otlp-options.ts";

const DEFAULT_INTERVAL_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_SPAN_DELAY_MS = 5_000;
const DEFAULT_SPAN_QUEUE_SIZE = 2_048;
const DEFAULT_SPAN_BATCH_SIZE = 512;

/** `--otlp-logging`; undefined where it is off. Throws ConfigError. */
export function readOtlpMetrics(settings: Settings, env: Environment): OtlpMetricsOptions | undefined {
  if (!settings.flag("otlp-logging")) return undefined;
  const protocol = readProtocol(env, "METRICS");
  const intervalMs = readWhole(env, "OTEL_METRIC_EXPORT_INTERVAL", {
    otherwise: DEFAULT_INTERVAL_MS,
    min: 1,
  });
  const timeoutMs = readWhole(env, "OTEL_METRIC_EXPORT_TIMEOUT", {
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
  if (!settings.flag("otlp-tracing")) return undefined;
  const maxQueueSize = readWhole(env, "OTEL_BSP_MAX_QUEUE_SIZE", {
    otherwise: DEFAULT_SPAN_QUEUE_SIZE,
    min: 1,
  });
  const maxBatchSize = readWhole(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", {
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
    delayMs: readWhole(env, "OTEL_BSP_SCHEDULE_DELAY", { otherwise: DEFAULT_SPAN_DELAY_MS, min: 1 }),
    timeoutMs: readWhole(env, "OTEL_BSP_EXPORT_TIMEOUT", { otherwise: DEFAULT_TIMEOUT_MS, min: 1 }),
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
