import { systemClock } from "../../../src/platform/clock.ts";
import type { Measurement } from "../../../src/telemetry/push/measurement.ts";
import { type StatsdOptions, StatsdSink } from "../../../src/telemetry/push/statsd.ts";

/** Creates a sink with the default options, except those that are given. */
export function statsdSink(options: Pick<StatsdOptions, "place"> & Partial<StatsdOptions>): StatsdSink {
  const defaults = {
    sink: "statsd",
    tags: { pod_name: "here" },
    maxDatagramBytes: 8_000,
    maxLinesAtOnce: 3_000,
    maxRetries: 3,
    retryDelayMs: 10,
  } as const;
  return new StatsdSink({ ...defaults, ...options }, systemClock);
}

export const loopback = (port: number) => ({ kind: "udp", host: "127.0.0.1", port }) as const;

/** Returns `length` counts, each with another value. */
export const counts = (length: number): readonly Measurement[] =>
  Array.from({ length }, (_, value) => ({
    kind: "count",
    name: "statsig.forward_proxy.Numbered.count",
    tags: { sdk_key: "secret-a*" },
    value,
  }));
