import type { Bench, Part, PartResult } from "../bench.ts";
import { type Cores, coresForThreads } from "../cores.ts";
import { publishCases } from "../http/cases.ts";
import { httpTables } from "../http/http-tables.ts";
import { type Measured, measureCase, measureRound } from "../http/measure.ts";
import { StaticUpstream } from "../static-upstream.ts";
import type { Table } from "../table.ts";
import { capacityTable } from "./capacity.ts";
import { startThreadedServers } from "./servers.ts";
import { type LoadSpread, measureSpread, spreadTable } from "./spread.ts";
import { threadCounts } from "./thread-counts.ts";

const CONNECTIONS = 64;
const WARM_KEY = "secret-bench-20000";

/** Compares relays with several serving threads, with one, and nginx with as many workers. */
export const threadsPart: Part = { name: "threads", needs: ["nginx", "wrk", "h2load"], run };

interface ThreadsRun {
  readonly threads: number;
  readonly tables: readonly Table[];
  readonly measured: readonly Measured[];
  /** Undefined if the relay serves with one thread only. */
  readonly spread: LoadSpread | undefined;
  readonly cores: string;
}

async function run(bench: Bench): Promise<PartResult> {
  const runs: ThreadsRun[] = [];
  for (const threads of threadCounts()) {
    for (const cores of placesFor(bench, threads))
      runs.push(await measureThreads({ ...bench, cores }, threads));
  }
  const spreads = runs.flatMap(({ threads, cores, spread }) =>
    spread === undefined ? [] : [{ threads, cores, spread }],
  );
  return {
    tables: [
      ...runs.flatMap(({ tables }) => tables),
      ...(spreads.length > 0 ? [spreadTable(CONNECTIONS, spreads)] : []),
    ],
    notes: [
      `wrk: ${CONNECTIONS} connections, a thread per core of the client; servers in turn in each round`,
      "capacity: requests/s if each thread had its own core and the client none of them",
      ...(bench.relay.hasServingThreads ? [] : ["this relay has no --serving-threads: one thread serves"]),
    ],
    raw: runs.map(({ threads, cores, measured, spread }) => ({
      threads,
      cores,
      spread,
      cases: measured.map(({ httpCase, rounds }) => ({
        case: httpCase.name,
        rounds: rounds.map((round) => Object.fromEntries(round)),
      })),
    })),
  };
}

/**
 * Where there are too few cores for server and client, they share all of them, which shows that the threads run at the
 * same time; and then the server has a single core, where the client does not affect its CPU time per request.
 */
function placesFor({ cores: single }: Bench, threads: number): readonly (Cores | undefined)[] {
  const wide = coresForThreads(threads);
  return wide?.server === wide?.client && single !== undefined ? [wide, single] : [wide];
}

async function measureThreads(bench: Bench, threads: number): Promise<ThreadsRun> {
  const load = bench.quick ? { rounds: 3, durationS: 1 } : { rounds: 5, durationS: 2 };
  const options = { ...load, connections: CONNECTIONS };
  await using upstream = await StaticUpstream.start();
  // With a new connection for each request, most of the work is the kernel's.
  const [small, ...others] = publishCases(upstream).filter(
    ({ headers }) => headers["connection"] !== "close",
  );
  if (small === undefined) throw new Error("there is no case to measure");
  await using running = await startThreadedServers(bench, upstream, threads, WARM_KEY);
  const { servers } = running;
  bench.progress("threads: warm-up");
  await measureRound(bench, servers, small, options);
  const measured: Measured[] = [];
  for (const each of [small, ...others]) measured.push(await measureCase(bench, servers, each, options));
  const [first] = servers;
  const spread =
    first === undefined || first.threads === 1
      ? undefined
      : await measureSpread(bench, first, small, options);
  const names = servers.map(({ name }) => name);
  const cores = coresOf(bench);
  const part = `threads, ${cores}`;
  const tables = [...httpTables(part, names, measured), capacityTable(part, servers, measured)];
  return { threads, tables, measured, spread, cores };
}

function coresOf({ cores }: Bench): string {
  if (cores === undefined) return "not pinned";
  const [server, client] = [cores.server.join(), cores.client.join()];
  return server === client
    ? `servers and client on cores ${server}`
    : `servers on cores ${server}, client on ${client}`;
}
