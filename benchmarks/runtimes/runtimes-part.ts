import { findDeno, toDenoCommand } from "../../scripts/deno/deno-program.ts";
import type { Bench, Part, PartResult } from "../bench.ts";
import { type FanoutCase, measureFanout } from "../fanout/fanout-part.ts";
import { relayServer } from "../fanout/fanout-servers.ts";
import { type FanoutRun, fanoutTable } from "../fanout/fanout-table.ts";
import { publishCase, upToDateCase } from "../http/cases.ts";
import type { HttpServer } from "../http/http-server.ts";
import { httpTables } from "../http/http-tables.ts";
import { type Measured, measureCase, measureRound } from "../http/measure.ts";
import { prepareRelay, prepareSources, type RelayProgram } from "../relay-program.ts";
import { IDLE_AFTER_MS, measureStart, publishStartupKey, type Start } from "../startup-part.ts";
import { StaticUpstream } from "../static-upstream.ts";
import { spreadOf } from "../statistics.ts";
import { megabytes, ms, spread, type Table } from "../table.ts";
import { startThreadedRelay } from "../threads/servers.ts";

const CONNECTIONS = 32;
const SIZE = { name: "94 KB", bytes: 94_000 };

/** Few enough connections that neither client nor server runs out of CPU time for handshakes. */
const FANOUT: FanoutCase = {
  connections: 5,
  streams: 500,
  messageBytes: 100_000,
  windows: "HTTP/2",
  isCompared: false,
};

/** Compares the relay on Bun and on Deno, both from the sources, with one serving thread of each kind. */
export const runtimesPart: Part = { name: "runtimes", needs: ["wrk"], run };

async function run(bench: Bench): Promise<PartResult> {
  const deno = findDeno();
  if (deno === undefined) throw new Error("npm has no Deno for this platform");
  const programs = [
    await prepareRelay("Bun", true),
    await prepareSources("Deno", toDenoCommand(deno), "deno run src/main.ts"),
  ];
  const http = await measureHttp(bench, programs);
  const fanouts = await measureFanouts(bench, programs);
  const starts = await measureStarts(bench, programs);
  return {
    tables: [...httpTables("runtimes", http.names, http.measured), fanoutTable(fanouts), startTable(starts)],
    notes: [
      `wrk: ${CONNECTIONS} connections, the relays in turn in each round, one serving thread of each kind`,
      "the fan-out and the starts are in turn, too: one of each relay after the other",
    ],
    raw: {
      http: http.measured.map(({ httpCase, rounds }) => ({
        case: httpCase.name,
        rounds: rounds.map((round) => Object.fromEntries(round)),
      })),
      fanouts,
      starts: Object.fromEntries(starts),
    },
  };
}

interface HttpRun {
  readonly names: readonly string[];
  readonly measured: readonly Measured[];
}

async function measureHttp(bench: Bench, programs: readonly RelayProgram[]): Promise<HttpRun> {
  const options = { connections: CONNECTIONS, ...(bench.quick ? QUICK : FULL) };
  await using upstream = await StaticUpstream.start();
  const large = publishCase(upstream, SIZE);
  await using owned = new AsyncDisposableStack();
  const servers: HttpServer[] = [];
  for (const program of programs)
    servers.push(owned.use(await startThreadedRelay(bench, upstream, program, 1)));
  const measured: Measured[] = [];
  for (const each of [upToDateCase(SIZE), large]) {
    bench.progress("runtimes: warm-up");
    await measureRound(bench, servers, each, options);
    measured.push(await measureCase(bench, servers, each, options));
  }
  return { names: servers.map(({ name }) => name), measured };
}

const QUICK = { rounds: 3, durationS: 1 };
const FULL = { rounds: 7, durationS: 3 };

async function measureFanouts(bench: Bench, programs: readonly RelayProgram[]): Promise<FanoutRun[]> {
  const rounds = bench.quick ? 1 : 3;
  const runs = programs.map(({ name }) => ({ name, ...FANOUT, updates: [] as FanoutRun["updates"] }));
  for (let round = 0; round < rounds; round++) {
    for (const [at, program] of programs.entries()) {
      bench.progress(`runtimes: fan-out ${round + 1} of ${rounds}`);
      const { updates } = await measureFanout(bench, relayServer(program), FANOUT, 3);
      const run = runs[at];
      if (run !== undefined) run.updates = [...run.updates, ...updates];
    }
  }
  return runs;
}

async function measureStarts(
  bench: Bench,
  programs: readonly RelayProgram[],
): Promise<ReadonlyMap<string, readonly Start[]>> {
  const rounds = bench.quick ? 3 : 10;
  await using upstream = await StaticUpstream.start();
  publishStartupKey(upstream);
  const starts = new Map(programs.map(({ name }) => [name, [] as Start[]]));
  for (let round = 0; round < rounds; round++) {
    for (const program of programs) {
      bench.progress(`runtimes: start ${round + 1} of ${rounds}`);
      starts.get(program.name)?.push(await measureStart(bench, upstream, program));
    }
  }
  return starts;
}

function startTable(starts: ReadonlyMap<string, readonly Start[]>): Table {
  const row = (what: string, pick: (start: Start) => number, format: (value: number) => string) => [
    what,
    ...Array.from(starts.values(), (each) => spread(spreadOf(each.map(pick)), format)),
  ];
  return {
    title: "runtimes: starts, median (min-max)",
    head: ["what", ...starts.keys()],
    rows: [
      row("spawn to first 200 of /v1/health, ms", (start) => start.healthMs, ms),
      row("spawn to first 200 with 20 KB specs from upstream, ms", (start) => start.specsMs, ms),
      row(`RSS ${IDLE_AFTER_MS / 1_000} s later, no key cached, MB`, (start) => start.idleBytes, megabytes),
    ],
  };
}
