import type { PushMetricExporter } from "@opentelemetry/sdk-metrics";
import type { SpanExporter } from "@opentelemetry/sdk-trace";
import type { OtlpProtocol } from "./options.ts";

/** What the standard variables, which the exporters read themselves, do not say. */
interface ExporterConfig {
  /** The URL that data is sent to. */
  readonly url?: string;
  /** Time limit of one export with its retries, in ms. */
  readonly timeoutMillis?: number;
}

/** Loads only the exporter that is used, since each costs memory and time. */
export async function openMetricExporter(
  protocol: OtlpProtocol,
  config: ExporterConfig,
): Promise<PushMetricExporter> {
  switch (protocol) {
    case "http/protobuf": {
      const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-proto");
      return new OTLPMetricExporter(config);
    }
    case "http/json": {
      const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-http");
      return new OTLPMetricExporter(config);
    }
    case "grpc": {
      const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-grpc");
      return new OTLPMetricExporter(config);
    }
  }
}

/** As {@link openMetricExporter}, for traces. */
export async function openSpanExporter(
  protocol: OtlpProtocol,
  config: ExporterConfig,
): Promise<SpanExporter> {
  switch (protocol) {
    case "http/protobuf": {
      const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-proto");
      return new OTLPTraceExporter(config);
    }
    case "http/json": {
      const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-http");
      return new OTLPTraceExporter(config);
    }
    case "grpc": {
      const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-grpc");
      return new OTLPTraceExporter(config);
    }
  }
}
