import type { MonitoredRelay } from "./monitored-relay.ts";

/** Something that a test does to a relay, and the metrics that must count it. */
export interface MetricTrigger {
  readonly what: string;
  readonly metrics: readonly string[];
  readonly run: (at: MonitoredRelay) => unknown;
}

/** SDK keys by what happens to them. */
export const KEYS = {
  first: "secret-of-the-first",
  second: "secret-of-the-second",
  third: "secret-of-the-third",
  fourth: "secret-of-the-fourth",
  nowhere: "secret-found-nowhere",
  garbage: "secret-with-garbage-in-redis",
  scrambled: "secret-with-another-type-in-redis",
  failing: "secret-whose-events-wait",
  changing: "secret-that-gets-deltas",
  refused: "secret-whose-events-are-refused",
} as const;
