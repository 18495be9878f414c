/** `latency` is in milliseconds. */
export type MetricKind = "count" | "latency" | "gauge";

/** What a series can be told apart by. */
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

/** One happening, or one thing to read, and how it is measured. */
export interface MetricRow {
  /** Seen by operators as `statsig.forward_proxy.{name}.{kind}`. */
  readonly name: string;
  readonly kinds: readonly MetricKind[];
  readonly tags: readonly TagName[];
  /** Of a gauge: what stands for the readings beyond the bound. */
  readonly rest?: "sum" | "largest" | "smallest";
  readonly description: string;
}
