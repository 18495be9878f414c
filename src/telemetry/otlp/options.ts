export const OTLP_PROTOCOLS = ["http/protobuf", "http/json", "grpc"] as const;

/** How OTLP is spoken. Where to and with what headers, the exporters read from the environment themselves. */
export type OtlpProtocol = (typeof OTLP_PROTOCOLS)[number];

export interface OtlpMetricsOptions {
  readonly protocol: OtlpProtocol;
  readonly intervalMs: number;
  /** Not more than the interval. */
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
  /** Of the traces, where the sampler is one of a ratio: from 0 to 1. */
  readonly ratio: number;
  /** Spans that may wait; beyond, they are dropped. */
  readonly maxQueueSize: number;
  /** Not more than may wait. */
  readonly maxBatchSize: number;
  readonly delayMs: number;
  readonly timeoutMs: number;
}
