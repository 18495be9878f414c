import type { Bench, Part, PartResult } from "../bench.ts";
import { count, megabytes } from "../table.ts";
import { CHANGED, HISTORY_DEPTH, measureDeltaTimes } from "./delta-times.ts";
import { measureDeltaUpdates, type PolledUpdates, type PreparedUpdates } from "./delta-updates.ts";
import { latencyTable, pollTable, stallTable, timesTable } from "./deltas-tables.ts";
import { POLL_INTERVAL_MS, POLLERS } from "./poll-rounds.ts";

/** Measures what an update of a large project costs with deltas and without. */
export const deltasPart: Part = { name: "deltas", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const times = await measureDeltaTimes(bench);
  const polled: PolledUpdates[] = [];
  const prepared: PreparedUpdates[] = [];
  for (const changed of CHANGED) {
    const measured = await measureDeltaUpdates(bench, changed);
    polled.push(...measured.polled);
    prepared.push(...measured.prepared);
  }
  const [first] = times;
  const project =
    first === undefined
      ? []
      : [
          `${count(first.entities)} entities: ${megabytes(first.jsonBytes)} MB of JSON, ${megabytes(first.protoBytes)} MB of ` +
            `protobuf, ${megabytes(first.fullBytes)} MB as statsig-br; history of ${HISTORY_DEPTH} versions ${count(first.historyBytes / 1_000)} KB`,
        ];
  return {
    tables: [pollTable(polled), latencyTable(polled), stallTable(prepared), timesTable(times)],
    notes: [
      ...project,
      `${POLLERS} pollers poll every ${POLL_INTERVAL_MS / 1_000} s, spread evenly; egress is what their sockets receive, with headers and "no update"`,
      "latencies include pauses of the clients: compare them with those of the relay without deltas",
    ],
    raw: { times, polled, prepared },
  };
}
