/** Where the lines go. */
export type StatsdPlace =
  | { readonly kind: "udp"; readonly host: string; readonly port: number }
  /** A datagram socket. */
  | { readonly kind: "unix"; readonly path: string };

/** How metrics are sent to StatsD, or to the agent of Datadog. */
export interface StatsdOptions {
  /** Datadog is sent latencies as distributions, StatsD as timings. */
  readonly sink: "statsd" | "datadog";
  readonly place: StatsdPlace;
  /** On every line. */
  readonly tags: Readonly<Record<string, string>>;
  readonly maxDatagramBytes: number;
  /** Lines that are made and sent before anything else gets its turn. */
  readonly maxLinesAtOnce: number;
  /** After which lines are sent that wait for more, were they not sent with the end of their batch. */
  readonly flushIntervalMs: number;
  /** Of one datagram. */
  readonly maxRetries: number;
  /** Before the first of them, doubled for each further. */
  readonly retryDelayMs: number;
}
