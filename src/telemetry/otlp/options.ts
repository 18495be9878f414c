export const OTLP_PROTOCOLS = ["http/protobuf", "http/json", "grpc"] as const;

/** The protocol of OTLP. The exporters read endpoint and headers from the environment themselves. */
export type OtlpProtocol = (typeof OTLP_PROTOCOLS)[number];

export interface OtlpMetricsOptions {
  readonly protocol: OtlpProtocol;
  readonly intervalMs: number;
  /** At most `intervalMs`. */
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
  /** The fraction of traces that a ratio sampler records, from 0 to 1. */
  readonly ratio: number;
  /** Ended spans that are buffered; further spans are dropped. */
  readonly maxQueueSize: number;
  /** At most `maxQueueSize`. */
  readonly maxBatchSize: number;
  readonly delayMs: number;
  readonly timeoutMs: number;
}
