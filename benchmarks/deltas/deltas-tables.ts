import type { UpdateStalls } from "../prepare/update-stalls.ts";
import { median, quantile, spreadOf } from "../statistics.ts";
import { count, megabytes, ms, ratio, spread, type Table } from "../table.ts";
import type { DeltaTimesCase, Preparing } from "./delta-times.ts";
import type { PolledUpdates, PreparedUpdates } from "./delta-updates.ts";
import { POLLERS, type UpdateRound } from "./poll-rounds.ts";

const kilobytes = (bytes: number): string => (bytes / 1_000).toFixed(1);

export function pollTable(updates: readonly PolledUpdates[]): Table {
  return {
    title: `deltas: one update of ${POLLERS} pollers, medians`,
    head: [
      "entities changed, relay",
      "as delta",
      "whole",
      "KB each",
      "% of whole",
      "egress MB",
      "CPU ms",
      "RSS before, MB",
      "peak",
    ],
    rows: updates.map(({ changed, name, rounds }) => {
      const of = (pick: (round: UpdateRound) => number) => median(rounds.map(pick));
      return [
        `${changed}, ${name}`,
        count(of(({ deltas }) => deltas)),
        count(of(({ full }) => full)),
        kilobytes(of(({ updateBytes }) => updateBytes / POLLERS)),
        ratio(of(({ updateBytes, fullBytes }) => (100 * updateBytes) / POLLERS / fullBytes)),
        megabytes(of(({ receivedBytes }) => receivedBytes)),
        count(of(({ cpuMs }) => cpuMs)),
        megabytes(of(({ restingBytes }) => restingBytes)),
        megabytes(of(({ peakBytes }) => peakBytes)),
      ];
    }),
  };
}

export function latencyTable(updates: readonly PolledUpdates[]): Table {
  return {
    title: "deltas: latencies while pollers get an update, all rounds, ms",
    head: ["entities changed, relay", "polls p50", "p99", "other feed p50", "p99"],
    rows: updates.map(({ changed, name, rounds }) => {
      const polls = rounds.flatMap(({ latenciesMs }) => latenciesMs);
      const others = rounds.flatMap(({ otherMs }) => otherMs);
      const both = [polls, others].flatMap((each) => [quantile(each, 0.5), quantile(each, 0.99)]);
      return [`${changed}, ${name}`, ...both.map(ms)];
    }),
  };
}

export function stallTable(updates: readonly PreparedUpdates[]): Table {
  return {
    title: "deltas: 21 B responses while the relay prepares an update, median of updates (min-max), ms",
    head: [
      "entities changed, relay",
      "upstream to served",
      "longest stall",
      "p50 during",
      "p99 during",
      "p99 between",
    ],
    rows: updates.map(({ changed, name, stalls }) => {
      const of = (pick: (update: UpdateStalls) => number) => spread(spreadOf(stalls.map(pick)), ms);
      return [
        `${changed}, ${name}`,
        of(({ updateMs }) => Math.max(...updateMs)),
        of(({ longestMs }) => Math.max(...longestMs)),
        of(({ duringMs }) => quantile(duringMs, 0.5)),
        of(({ duringMs }) => quantile(duringMs, 0.99)),
        of(({ quietMs }) => quantile(quietMs, 0.99)),
      ];
    }),
  };
}

export function timesTable(cases: readonly DeltaTimesCase[]): Table {
  return {
    title: "deltas: prepare a version with a full history and without, medians",
    head: [
      "entities changed in each version",
      "versions with a delta",
      "deltas",
      "KB, first",
      "last",
      "without ms",
      "with ms",
      "more ms (min-max)",
      "more CPU ms",
    ],
    rows: cases.map(({ changed, choice, bases, deltaBytes, without, withDeltas }) => {
      const more = (pick: (preparing: Preparing) => number) =>
        withDeltas.map((each, at) => pick(each) - pick(without[at] ?? each));
      const took = (rounds: readonly Preparing[]) => median(rounds.map(({ tookMs }) => tookMs));
      return [
        `${changed}, ${choice}`,
        count(bases),
        count(deltaBytes.length),
        kilobytes(deltaBytes[0] ?? 0),
        kilobytes(deltaBytes.at(-1) ?? 0),
        ms(took(without)),
        ms(took(withDeltas)),
        spread(spreadOf(more(({ tookMs }) => tookMs)), ms),
        ms(median(more(({ cpuMs }) => cpuMs))),
      ];
    }),
  };
}
