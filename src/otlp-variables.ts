import type { VariableSpec } from "./variable-spec.ts";

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
