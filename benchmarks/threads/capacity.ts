import type { HttpResult, Measured } from "../http/measure.ts";
import { median, spreadOf } from "../statistics.ts";
import { count, ratio, spread, type Table } from "../table.ts";
import type { ThreadedServer } from "./servers.ts";

/**
 * Requests/s if every thread of the server had a core of its own and the client took none. Where client and server share
 * their cores, the measured requests/s also contain the client's CPU time, which is the same for all servers.
 */
const capacity = (result: HttpResult, threads: number): number =>
  (threads * 1_000_000) / result.cpuMicrosPerRequest;

/** Cores that the server used on average: above 1, its threads ran at the same time. */
const coresInUse = (result: HttpResult): number =>
  (result.requestsPerS * result.cpuMicrosPerRequest) / 1_000_000;

export function capacityTable(
  part: string,
  servers: readonly ThreadedServer[],
  measured: readonly Measured[],
): Table {
  const [first] = servers;
  const rows = measured.flatMap(({ httpCase, rounds }) =>
    servers.map(({ name, threads }, at) => {
      const results = rounds.flatMap((round) => round.get(name) ?? []);
      const against = rounds.flatMap((round) => round.get(first?.name ?? "") ?? []);
      const ratios = results.map((result, round) => {
        const firstResult = against[round];
        return firstResult === undefined
          ? Number.NaN
          : capacity(firstResult, first?.threads ?? Number.NaN) / capacity(result, threads);
      });
      return [
        at === 0 ? httpCase.name : "",
        name,
        ratio(median(results.map(coresInUse))),
        count(median(results.map((result) => capacity(result, threads)))),
        at === 0 ? "" : spread(spreadOf(ratios), ratio),
      ];
    }),
  );
  return {
    title: `${part}: capacity, threads / CPU time per request`,
    head: ["body", "server, threads", "cores in use", "capacity, requests/s", `${first?.name} / this server`],
    rows,
  };
}
