import { readFileSync } from "node:fs";
import { ConfigError, type Environment } from "./settings.ts";
import type { OtlpProtocol } from "./telemetry/otlp/otlp-options.ts";
import { whyUnreadable } from "./unreadable.ts";
import { withoutUserInfo } from "./without-secrets.ts";

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
export function refuseBadExporterVariables(
  env: Environment,
  signal: "METRICS" | "TRACES",
  protocol: OtlpProtocol,
): void {
  for (const { name, allowed, isGood } of VARIABLES) {
    for (const [variable, value] of given(env, name, signal)) {
      if (isGood(value, protocol)) continue;
      throw new ConfigError(`${variable} is "${withoutUserInfo(value)}", allowed is ${allowed}`);
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
    throw new ConfigError(`Cannot read ${variable} "${path}": ${whyUnreadable(path)}`);
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
