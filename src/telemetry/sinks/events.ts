/** Where metrics are sent to; Prometheus fetches them itself and is none of these. */
export type SinkName = "statsd" | "datadog" | "statsig" | "otlp" | "otlp-traces";

/** What happens to the places that metrics are sent to. Each is told once, until the other. */
export type SinkEvent =
  | { readonly kind: "sink_failing"; readonly sink: SinkName; readonly detail: string }
  | {
      readonly kind: "sink_works_again";
      readonly sink: SinkName;
      readonly failedForMs: number;
      /** Measurements that were given up meanwhile. */
      readonly dropped: number;
    };

export type EmitSinkEvent = (event: SinkEvent) => void;
