import {
  type ChaosRound,
  type ChaosRun,
  describeRound,
  runChaos,
} from "../../tests/support/specs/chaos-rounds.ts";
import type { Bench, Part, PartResult } from "../bench.ts";
import { median } from "../statistics.ts";
import { count, ratio, type Table } from "../table.ts";

const SEED = 1;
const ROUNDS = 100;
const QUICK_ROUNDS = 5;

/** Measures what tests/specs/fleet-chaos.test.ts asserts: how soon a fleet is current after a fault, and how many requests upstream gets. */
export const chaosPart: Part = { name: "chaos", needs: ["redis-server", "redis-cli"], run };

async function run(bench: Bench): Promise<PartResult> {
  const rounds = bench.quick ? QUICK_ROUNDS : ROUNDS;
  const shared = await runRounds(bench, rounds, true);
  const apart = await runRounds(bench, Math.ceil(rounds / 4), false);
  return {
    tables: [tableOf("with --fleet-polling", shared), tableOf("without --fleet-polling", apart)],
    notes: [
      "times are from the end of the fault; requests are those of all three relays, in rounds in which upstream is reachable",
      ...[...shared.problems, ...apart.problems].map((problem) => problem.split("\n").slice(0, 2).join(": ")),
    ],
    raw: { seed: SEED, shared: shared.rounds, apart: apart.rounds },
  };
}

async function runRounds(bench: Bench, rounds: number, fleetPolling: boolean): Promise<ChaosRun> {
  const run = await runChaos({
    seed: SEED,
    rounds,
    fleetPolling,
    program: bench.relay.command,
    signal: bench.signal,
    onRound: (round) => bench.progress(`chaos: of ${rounds}, ${describeRound(round)}`),
  });
  bench.signal.throwIfAborted();
  return run;
}

function tableOf(title: string, { rounds, problems }: ChaosRun): Table {
  const groups = Map.groupBy(rounds, ({ faultNames }) =>
    faultNames.length === 1 ? (faultNames[0] ?? "") : "two faults at once",
  );
  const names = [...groups.keys()].sort((a, b) => a.localeCompare(b, "en"));
  const failed = problems.length === 0 ? "none failed" : `${problems.length} failed`;
  return {
    title: `chaos ${title}: ${rounds.length} rounds, ${failed}; median (max)`,
    head: ["fault", "rounds", "relays current after, ms", "Redis, ms", "requests per feed and interval"],
    rows: [
      ...names.map((name) => rowOf(name, groups.get(name) ?? [])),
      ...splitRows(rounds),
      rowOf("all", rounds),
    ],
  };
}

/** Returns no rows for runs without --fleet-polling, in which relays never share requests. */
function splitRows(rounds: readonly ChaosRound[]): string[][] {
  const { shared = [], apart = [] } = Object.groupBy(rounds, ({ isShared }) =>
    isShared ? "shared" : "apart",
  );
  if (shared.length === 0) return [];
  return [rowOf("all relays reach Redis", shared), rowOf("some relays don't", apart)];
}

function rowOf(name: string, rounds: readonly ChaosRound[]): string[] {
  const counted = rounds.filter(({ allowedRate }) => allowedRate !== undefined);
  return [
    name,
    String(rounds.length),
    medianAndHighest(
      rounds.map(({ relaysMs }) => relaysMs),
      count,
    ),
    medianAndHighest(
      rounds.map(({ redisMs }) => redisMs),
      count,
    ),
    medianAndHighest(
      counted.map(({ requestRate }) => requestRate),
      ratio,
    ),
  ];
}

const medianAndHighest = (values: readonly number[], format: (value: number) => string): string =>
  values.length === 0 ? "" : `${format(median(values))} (${format(Math.max(...values))})`;
