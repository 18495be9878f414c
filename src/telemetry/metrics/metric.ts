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
  | "result"
  | "limit"
  | "protocol"
  | "state"
  | "action"
  | "sink"
  | "component"
  | "endpoint"
  | "client_service"
  | "file_id"
  | "profile"
  | "version";

/** Tags of pushed lines alone: in Prometheus they would multiply the series of every scrape. */
export type ClientTagName = "sdk_type" | "sdk_version" | "client_service" | "response_payload_type";

/** A metric. */
export interface MetricRow {
  /** Exported as `statsig.forward_proxy.{name}.{kind}`. */
  readonly name: string;
  readonly kinds: readonly MetricKind[];
  readonly tags: readonly TagName[];
  /** Further tags of StatsD lines and Statsig events. Their values become `other` first when there are many series. */
  readonly clientTags?: readonly ClientTagName[];
  /** How the readings of a gauge beyond the limit of series are combined; "sum" by default. */
  readonly rest?: "sum" | "largest" | "smallest";
  readonly description: string;
}
