import type { OtlpMetricsOptions } from "./telemetry/otlp/otlp-options.ts";
import { expectSink, type SinkParts } from "./telemetry/sinks/sink-parts.ts";
import { VERSION } from "./version.ts";

/** Sends metrics by OpenTelemetry's protocol, which is loaded only where it is wanted. */
export async function startOtlp(options: OtlpMetricsOptions | undefined, parts: SinkParts): Promise<void> {
  if (options === undefined) return;
  const { startOtlpMetrics } = await import("./telemetry/otlp/otlp-metrics.ts");
  const { otlpResource } = await import("./telemetry/otlp/otlp-resource.ts");
  const health = expectSink("otlp", parts);
  const { registry, running } = parts;
  running.use(await startOtlpMetrics(options, { registry, resource: otlpResource(VERSION), health }));
}
