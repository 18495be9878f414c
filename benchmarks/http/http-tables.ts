import { median, spreadOf } from "../statistics.ts";
import { count, megabytes, ms, ratio, spread, type Table } from "../table.ts";
import type { HttpResult, Measured, Round } from "./measure.ts";

export function httpTables(part: string, names: readonly string[], measured: readonly Measured[]): Table[] {
  return [figures(part, names, measured), ratios(part, names, measured)];
}

function figures(part: string, names: readonly string[], measured: readonly Measured[]): Table {
  const rows = measured.flatMap(({ httpCase, rounds }) =>
    names.map((name, at) => {
      const of = (pick: (result: HttpResult) => number) => median(valuesOf(rounds, name, pick));
      return [
        at === 0 ? httpCase.name : "",
        name,
        count(of((result) => result.requestsPerS)),
        megabytes(of((result) => result.bytesPerS)),
        ms(of((result) => result.p50Ms)),
        ms(of((result) => result.p99Ms)),
        of((result) => result.cpuMicrosPerRequest).toFixed(1),
        String(Math.max(...valuesOf(rounds, name, (result) => result.socketErrors))),
      ];
    }),
  );
  return {
    title: `${part}: medians of all rounds, at full load`,
    head: ["body", "server", "requests/s", "MB/s", "p50 ms", "p99 ms", "CPU us/request", "socket errors"],
    rows,
  };
}

/** Higher is better for requests/s, lower for the other columns. */
function ratios(part: string, names: readonly string[], measured: readonly Measured[]): Table {
  const [first = "", ...others] = names;
  const rows = measured.flatMap(({ httpCase, rounds }) =>
    others.map((other, at) => [
      at === 0 ? httpCase.name : "",
      `${first} / ${other}`,
      spread(spreadOf(perRound(rounds, first, other, (result) => result.requestsPerS)), ratio),
      spread(spreadOf(perRound(rounds, first, other, (result) => result.p99Ms)), ratio),
      spread(spreadOf(perRound(rounds, first, other, (result) => result.cpuMicrosPerRequest)), ratio),
    ]),
  );
  return {
    title: `${part}: ratios within a round, median (min-max)`,
    head: ["body", "of", "requests/s", "p99", "CPU per request"],
    rows,
  };
}

function valuesOf(rounds: readonly Round[], name: string, pick: (result: HttpResult) => number): number[] {
  return rounds.flatMap((round) => {
    const result = round.get(name);
    return result === undefined ? [] : [pick(result)];
  });
}

function perRound(
  rounds: readonly Round[],
  one: string,
  other: string,
  pick: (result: HttpResult) => number,
): number[] {
  const below = valuesOf(rounds, other, pick);
  return valuesOf(rounds, one, pick).map((value, at) => value / (below[at] ?? Number.NaN));
}
