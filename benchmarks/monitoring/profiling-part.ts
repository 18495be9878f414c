import type { Bench, Part, PartResult } from "../bench.ts";
import { publishCases } from "../http/cases.ts";
import type { HttpServer } from "../http/http-server.ts";
import { httpTables } from "../http/http-tables.ts";
import { type Measured, measureCase, measureRound } from "../http/measure.ts";
import { freePort } from "../loopback.ts";
import { RelayServer } from "../relay-server.ts";
import { StaticUpstream } from "../static-upstream.ts";

const CONNECTIONS = 32;

const PROFILED = "profiled";
const EARLIER = "profiled earlier";
const NEVER = "never profiled";

/** Measures what a CPU profile costs requests while it is taken, and what it leaves behind. */
export const profilingPart: Part = { name: "profiling", needs: ["wrk"], run };

async function run(bench: Bench): Promise<PartResult> {
  const load = bench.quick ? { rounds: 5, durationS: 2 } : { rounds: 15, durationS: 2 };
  const options = { ...load, connections: CONNECTIONS };
  await using upstream = await StaticUpstream.start();
  const [small, medium = small] = publishCases(upstream);
  await using profiled = await startServer(bench, upstream, PROFILED);
  await using earlier = await startServer(bench, upstream, EARLIER);
  await using never = await startServer(bench, upstream, NEVER);
  const servers = [profiled.server, earlier.server, never.server];
  for (const each of [small, medium]) {
    const profile = earlier.takeProfile(load.durationS);
    await measureRound(bench, servers, each, options);
    await profile;
  }
  using _profiling = profiled.keepProfiling();
  const measured: Measured[] = [];
  for (const each of [small, medium]) measured.push(await measureCase(bench, servers, each, options));
  return {
    tables: [
      ...httpTables("profiling", [PROFILED, NEVER], measured),
      ...httpTables("profiling, afterwards", [EARLIER, NEVER], measured),
    ],
    notes: [
      `${PROFILED}: one CPU profile of 60 s after the other`,
      `${EARLIER}: two CPU profiles under load before the first round, none since`,
      `${NEVER}: with --debug-endpoints as the others`,
    ],
    raw: measured.map(({ httpCase, rounds }) => ({
      case: httpCase.name,
      rounds: rounds.map((round) => Object.fromEntries(round)),
    })),
  };
}

async function startServer(bench: Bench, upstream: StaticUpstream, name: string) {
  const managementPort = await freePort();
  const relay = await RelayServer.start(bench, {
    upstream,
    cores: bench.cores?.server,
    managementPort,
    args: ["--debug-endpoints"],
  });
  const server: HttpServer = {
    ...{ name, url: relay.httpUrl, pid: relay.pid },
    tidy: () => {},
    [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
  };
  const takeProfile = async (seconds: number, signal = bench.signal): Promise<void> => {
    const url = `http://127.0.0.1:${managementPort}/debug/profile?seconds=${seconds}`;
    const response = await fetch(url, { method: "POST", signal });
    await response.arrayBuffer();
    if (response.status !== 200) throw new Error(`${name}: no profile, but ${response.status}`);
  };
  const keepProfiling = (): Disposable => {
    const end = new AbortController();
    const takeAll = async () => {
      while (!end.signal.aborted) await takeProfile(60, end.signal);
    };
    // Only the end of the measurement aborts it: a profile that fails ends the run.
    takeAll().catch((error: unknown) => {
      if (!end.signal.aborted) throw error;
    });
    return { [Symbol.dispose]: () => end.abort() };
  };
  return {
    ...{ server, takeProfile, keepProfiling },
    [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
  };
}
