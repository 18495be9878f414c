import { median, spreadOf } from "../statistics.ts";
import { megabytes, ratio, spread, type Table } from "../table.ts";

/** One update, from when it is sent to the server until all streams have it. */
export interface Update {
  /** For the relay, upstream's response to its poll is when it is sent. */
  readonly sentToFirstMs: number;
  readonly firstToMedianMs: number;
  readonly firstToLastMs: number;
  readonly cpuMs: number;
  readonly mainThreadCpuMs: number;
  /** The longest time that a PING waited for its response, before and during the update. */
  readonly quietWaitMs: number;
  readonly longestWaitMs: number;
  readonly restingBytes: number;
  readonly peakBytes: number;
}

export interface FanoutRun {
  /** Name of the server. */
  readonly name: string;
  readonly connections: number;
  readonly streams: number;
  readonly messageBytes: number;
  readonly windows: string;
  readonly isCompared: boolean;
  readonly updates: readonly Update[];
}

const caseOf = ({ connections, streams, messageBytes, windows }: FanoutRun) =>
  `${connections} x ${streams / connections}, ${messageBytes / 1_000} KB, ${windows}`;

const sentToLastMs = ({ sentToFirstMs, firstToLastMs }: Update) => sentToFirstMs + firstToLastMs;

export function fanoutTable(runs: readonly FanoutRun[]): Table {
  const whole = (value: number) => value.toFixed(0);
  const rows = runs.map((run) => {
    const of = (pick: (update: Update) => number, format = whole) =>
      spread(spreadOf(run.updates.map(pick)), format);
    return [
      caseOf(run),
      run.name,
      of(({ sentToFirstMs }) => sentToFirstMs),
      of(({ firstToMedianMs }) => firstToMedianMs),
      of(({ firstToLastMs }) => firstToLastMs),
      of(sentToLastMs),
      of(({ cpuMs }) => cpuMs),
      of(({ mainThreadCpuMs }) => mainThreadCpuMs),
      of(({ quietWaitMs }) => quietWaitMs),
      of(({ longestWaitMs }) => longestWaitMs),
      of(({ restingBytes }) => restingBytes, megabytes),
      of(({ peakBytes }) => peakBytes, megabytes),
    ];
  });
  return {
    title: "fanout: one update to all gRPC streams, median (min-max)",
    head: [
      "connections x streams, windows",
      "server",
      "sent to first ms",
      "first to half ms",
      "first to last ms",
      "sent to last ms",
      "CPU ms",
      "of main thread",
      "longest wait before ms",
      "longest wait ms",
      "RSS before MB",
      "RSS peak MB",
    ],
    rows,
  };
}

/** The medians of each relay divided by those of connect-node. */
export function ratioTable(runs: readonly FanoutRun[]): Table {
  const others = runs.filter(({ isCompared, name }) => isCompared && name !== "connect-node");
  return {
    title: "fanout: relay / connect-node as it comes",
    head: ["connections x streams, windows", "server", "sent to last", "CPU", "RSS peak"],
    rows: others.map((run) => {
      const reference = runs.find((each) => each.name === "connect-node" && caseOf(each) === caseOf(run));
      const medianOf = (pick: (update: Update) => number, of: FanoutRun | undefined) =>
        median((of?.updates ?? []).map(pick));
      const toReference = (pick: (update: Update) => number) =>
        ratio(medianOf(pick, run) / medianOf(pick, reference));
      return [
        caseOf(run),
        run.name,
        toReference(sentToLastMs),
        toReference(({ cpuMs }) => cpuMs),
        toReference(({ peakBytes }) => peakBytes),
      ];
    }),
  };
}
