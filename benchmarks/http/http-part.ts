import type { Bench, Part, PartResult } from "../bench.ts";
import { StaticUpstream } from "../static-upstream.ts";
import { publishCases } from "./cases.ts";
import { httpTables } from "./http-tables.ts";
import { type Measured, measureCase, measureRound } from "./measure.ts";
import { startServers } from "./servers.ts";

const CONNECTIONS = 32;

/** Compares config specs over HTTP with nginx as a caching proxy. */
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
      `wrk: 1 thread, ${CONNECTIONS} connections, ${load.rounds} rounds of ${load.durationS} s per server, in turn`,
      "Bun does not repeat a client's Connection: close, so wrk tries each such connection twice: these are the socket errors",
      `all responses were 200 with equal bytes; upstream got ${upstream.requests} requests in all`,
    ],
    raw: measured.map(({ httpCase, rounds }) => ({
      case: httpCase.name,
      bodyBytes: httpCase.bodyBytes,
      rounds: rounds.map((round) => Object.fromEntries(round)),
    })),
  };
}
