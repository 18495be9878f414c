import { type Bench, type Part, type PartResult, programsOf } from "../bench.ts";
import { projectOfJsonBytes } from "../project.ts";
import { FIRST_LCUT } from "../static-upstream.ts";
import { quantile, spreadOf } from "../statistics.ts";
import { ms, ratio, spread, type Table } from "../table.ts";
import { measurePrepare, type PrepareTime } from "./prepare-times.ts";
import { measureStalls, type UpdateStalls } from "./update-stalls.ts";

const JSON_BYTES = 5_000_000;

interface Setting {
  readonly name: string;
  readonly stalls: UpdateStalls;
}

/** Measures the cost of a new 5 MB version, and how it affects other requests. */
export const preparePart: Part = { name: "prepare", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const rounds = bench.quick ? 2 : 5;
  bench.progress("prepare: checking and compressing");
  const times = await measurePrepare(bench, projectOfJsonBytes(JSON_BYTES, FIRST_LCUT), rounds);
  const settings: Setting[] = [];
  for (const program of programsOf(bench)) {
    for (const [where, cores] of [
      ["all cores", undefined],
      ["one core", bench.cores?.server],
    ] as const) {
      if (where === "one core" && cores === undefined) continue;
      const name = `${program.name} on ${where}`;
      bench.progress(`prepare: updates, ${name}`);
      settings.push({ name, stalls: await measureStalls(bench, program, JSON_BYTES, rounds, cores) });
    }
  }
  return {
    tables: [timesTable(times), stallsTable(settings)],
    notes: ["latencies include pauses of the client: compare them with those between updates"],
    raw: { times, settings },
  };
}

function timesTable(times: readonly PrepareTime[]): Table {
  return {
    title: "prepare: decode, check and compress 5 MB of JSON, median (min-max)",
    head: ["received as", "ms"],
    rows: times.map(({ contentEncoding, tookMs }) => [contentEncoding, spread(spreadOf(tookMs), ms)]),
  };
}

function stallsTable(settings: readonly Setting[]): Table {
  return {
    title: "prepare: 21 B responses while the relay loads a new 5 MB version, ms",
    head: [
      "server",
      "upstream to served",
      "longest stall",
      "p99 during",
      "p99 between",
      "p99 ratio",
      "p50 between",
    ],
    rows: settings.map(({ name, stalls }) => [
      name,
      spread(spreadOf(stalls.updateMs), ms),
      spread(spreadOf(stalls.longestMs), ms),
      ms(quantile(stalls.duringMs, 0.99)),
      ms(quantile(stalls.quietMs, 0.99)),
      ratio(quantile(stalls.duringMs, 0.99) / quantile(stalls.quietMs, 0.99)),
      ms(quantile(stalls.quietMs, 0.5)),
    ]),
  };
}
