import type { OtlpMetricsOptions } from "./telemetry/otlp/otlp-options.ts";
import { SinkHealth } from "./telemetry/sinks/sink-health.ts";
import type { SinkParts } from "./telemetry/sinks/sink-parts.ts";
import { VERSION } from "./version.ts";

/** Sends metrics by OpenTelemetry's protocol, which is loaded only where it is wanted. */
export async function startOtlp(options: OtlpMetricsOptions | undefined, parts: SinkParts): Promise<void> {
  if (options === undefined) return;
  const { startOtlpMetrics } = await import("./telemetry/otlp/otlp-metrics.ts");
  const { otlpResource } = await import("./telemetry/otlp/otlp-resource.ts");
  const { registry, clock, emit, metrics, running } = parts;
  metrics.expect("otlp");
  const health = new SinkHealth({ sink: "otlp", clock, emit });
  running.use(await startOtlpMetrics(options, { registry, resource: otlpResource(VERSION), health }));
}
