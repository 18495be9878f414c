import type { MonitoredRelay } from "./monitored-relay.ts";

/** Something that a test makes happen for real, and the metrics that are to tell of it. */
export interface Happening {
  readonly what: string;
  readonly metrics: readonly string[];
  readonly make: (at: MonitoredRelay) => unknown;
}

/** SDK keys by what becomes of them. */
export const KEYS = {
  first: "secret-of-the-first",
  second: "secret-of-the-second",
  third: "secret-of-the-third",
  fourth: "secret-of-the-fourth",
  nowhere: "secret-found-nowhere",
  garbage: "secret-with-garbage-in-redis",
  scrambled: "secret-with-another-type-in-redis",
  failing: "secret-whose-events-wait",
  refused: "secret-whose-events-are-refused",
} as const;
