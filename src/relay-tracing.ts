import type { Config } from "./config.ts";
import { expectSink, type SinkParts } from "./telemetry/sinks/sink-parts.ts";
import { type Tracing, UNTRACED } from "./telemetry/tracing/tracing.ts";
import { VERSION } from "./version.ts";

/** What is traced is decided here alone: the rest of the relay does not know. Loaded only where it is wanted. */
export async function startTracing({ monitoring }: Config, parts: SinkParts): Promise<Tracing> {
  if (monitoring.otlpTraces === undefined) return UNTRACED;
  const { startOtlpTracing } = await import("./telemetry/tracing/otlp-tracing.ts");
  const { otlpResource } = await import("./telemetry/otlp/otlp-resource.ts");
  const health = expectSink("otlp-traces", parts);
  const { clock, running } = parts;
  const resource = otlpResource(VERSION);
  return running.use(await startOtlpTracing(monitoring.otlpTraces, { clock, resource, health }));
}
