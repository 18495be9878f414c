import type { Measurement } from "./measurement.ts";

/** A metric in the format of StatsD, without its tags. */
export interface StatsdLine {
  readonly text: string;
  readonly tags: readonly string[];
}

/** `ms`: a timing of StatsD; `d`: a distribution of DogStatsD. */
export type LatencyType = "ms" | "d";

/** One line a value. Of latencies that are only a part of those seen, each says which part. */
export function* linesOf(measurement: Measurement, latencyType: LatencyType): Iterable<StatsdLine> {
  const { kind, name } = measurement;
  const tags = Object.entries(measurement.tags).flatMap(([tag, value]) =>
    value === "" ? [] : [`${tag}:${value}`],
  );
  switch (kind) {
    case "count":
      yield { text: `${name}:${measurement.value}|c`, tags };
      return;
    case "gauge":
      yield { text: `${name}:${measurement.value}|g`, tags };
      return;
    case "latency": {
      const { values, seen } = measurement;
      const rate = seen > values.length ? `|@${values.length / seen}` : "";
      for (const ms of values) yield { text: `${name}:${rounded(ms)}|${latencyType}${rate}`, tags };
    }
  }
}

/** To 0.1 µs, so that nothing is written as 1e-7, which not every reader takes. */
function rounded(ms: number): number {
  return Math.round(ms * 10_000) / 10_000;
}
