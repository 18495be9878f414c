export const OTLP_PROTOCOLS = ["http/protobuf", "http/json", "grpc"] as const;

/** The transport of OTLP. The exporters read the standard variables of endpoint and headers from the environment themselves. */
export type OtlpProtocol = (typeof OTLP_PROTOCOLS)[number];

export interface OtlpMetricsOptions {
  readonly protocol: OtlpProtocol;
  /** The URL that metrics are sent to. Undefined if the exporter takes it from the standard variables, or its default. */
  readonly url: string | undefined;
  readonly intervalMs: number;
  /** Time limit of one export; at most the interval. */
  readonly timeoutMs: number;
}

export const TRACE_SAMPLERS = [
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
  "always_on",
  "always_off",
  "traceidratio",
] as const;

type TraceSampler = (typeof TRACE_SAMPLERS)[number];

export interface OtlpTracesOptions {
  readonly protocol: OtlpProtocol;
  readonly sampler: TraceSampler;
  /** The part of the traces that a ratio sampler records, from 0 to 1. */
  readonly ratio: number;
  /** Maximum number of spans that wait to be sent; further ones are dropped. */
  readonly maxQueueSize: number;
  /** Spans per export; at most the queue size. */
  readonly maxBatchSize: number;
  /** Longest wait for a full batch. */
  readonly delayMs: number;
  /** Time limit of one export. */
  readonly timeoutMs: number;
}
