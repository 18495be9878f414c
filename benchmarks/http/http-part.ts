import type { Bench, Part, PartResult } from "../bench.ts";
import { StaticUpstream } from "../static-upstream.ts";
import { publishCases } from "./cases.ts";
import { httpTables } from "./http-tables.ts";
import { type Measured, measureCase, measureRound } from "./measure.ts";
import { startServers } from "./servers.ts";

const CONNECTIONS = 32;

/** Specs over HTTP, beside nginx as a caching proxy. */
export const httpPart: Part = { name: "http", needs: ["nginx", "wrk"], run };

async function run(bench: Bench): Promise<PartResult> {
  const load = bench.quick ? { rounds: 2, durationS: 1 } : { rounds: 5, durationS: 2 };
  await using upstream = await StaticUpstream.start();
  const cases = publishCases(upstream);
  await using running = await startServers(bench, upstream, "secret-bench-20000");
  bench.progress("http: warm-up");
  await measureRound(bench, running.servers, cases[0], { ...load, connections: CONNECTIONS });
  const measured: Measured[] = [];
  for (const httpCase of cases) {
    const options = { ...load, connections: CONNECTIONS };
    measured.push(await measureCase(bench, running.servers, httpCase, options));
  }
  const names = running.servers.map(({ name }) => name);
  return {
    tables: httpTables("http", names, measured),
    notes: [
      `wrk: 1 thread, ${CONNECTIONS} connections, ${load.rounds} rounds of ${load.durationS} s a server, in turns`,
      "Bun does not repeat a client's Connection: close, so that wrk tries each such connection twice: the socket errors",
      `all answers 200 with equal bytes; the upstream was asked ${upstream.requests} times in all`,
    ],
    raw: measured.map(({ httpCase, rounds }) => ({
      case: httpCase.name,
      bodyBytes: httpCase.bodyBytes,
      rounds: rounds.map((round) => Object.fromEntries(round)),
    })),
  };
}
