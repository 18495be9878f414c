import { spreadOf } from "../statistics.ts";
import { megabytes, spread, type Table } from "../table.ts";

/** One update, from upstream to all streams. */
export interface Update {
  /** Time from upstream's response until the first stream has the message. */
  readonly upstreamToFirstMs: number;
  readonly firstToMedianMs: number;
  readonly firstToLastMs: number;
  readonly cpuMs: number;
  readonly mainThreadCpuMs: number;
  readonly restingBytes: number;
  readonly peakBytes: number;
}

export interface FanoutRun {
  /** Name of the relay. */
  readonly name: string;
  readonly connections: number;
  readonly streams: number;
  readonly messageBytes: number;
  readonly updates: readonly Update[];
}

export function fanoutTable(runs: readonly FanoutRun[]): Table {
  const whole = (value: number) => value.toFixed(0);
  const rows = runs.map(({ name, connections, streams, messageBytes, updates }) => {
    const of = (pick: (update: Update) => number, format = whole) =>
      spread(spreadOf(updates.map(pick)), format);
    return [
      `${connections} x ${streams / connections}, ${messageBytes / 1_000} KB`,
      name,
      of((update) => update.upstreamToFirstMs),
      of((update) => update.firstToMedianMs),
      of((update) => update.firstToLastMs),
      of((update) => update.upstreamToFirstMs + update.firstToLastMs),
      of((update) => update.cpuMs),
      of((update) => update.mainThreadCpuMs),
      of((update) => update.restingBytes, megabytes),
      of((update) => update.peakBytes, megabytes),
    ];
  });
  return {
    title: "fanout: one update to all gRPC streams, median (min-max)",
    head: [
      "connections x streams",
      "server",
      "upstream to first ms",
      "first to half ms",
      "first to last ms",
      "upstream to last ms",
      "CPU ms",
      "of main thread",
      "RSS before MB",
      "RSS peak MB",
    ],
    rows,
  };
}
