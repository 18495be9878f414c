/** `latency` is in milliseconds. */
export type MetricKind = "count" | "latency" | "gauge";

/** The labels of series. */
type TagName =
  | "sdk_key"
  | "path"
  | "lcut"
  | "status_code"
  | "accept-encoding"
  | "content-encoding"
  | "format"
  | "source"
  | "code"
  | "reason"
  | "limit"
  | "protocol"
  | "state"
  | "action"
  | "sink"
  | "component"
  | "version";

/** A metric. */
export interface MetricRow {
  /** Exported as `statsig.forward_proxy.{name}.{kind}`. */
  readonly name: string;
  readonly kinds: readonly MetricKind[];
  readonly tags: readonly TagName[];
  /** How the readings of a gauge beyond the limit of series are combined; "sum" by default. */
  readonly rest?: "sum" | "largest" | "smallest";
  readonly description: string;
}
