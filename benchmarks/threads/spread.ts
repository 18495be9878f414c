import type { Bench } from "../bench.ts";
import type { HttpCase } from "../http/cases.ts";
import { runWrk } from "../http/wrk.ts";
import { threadCpuMs } from "../proc-stats.ts";
import { spreadOf } from "../statistics.ts";
import { spread, type Table } from "../table.ts";
import { runH2load } from "./h2load.ts";
import type { ThreadedServer } from "./servers.ts";

export interface SpreadOptions {
  readonly connections: number;
  readonly rounds: number;
  readonly durationS: number;
}

/** Few enough that no thread is ever busy all the time: each gets as many requests as its connections send. */
const PER_CONNECTION_PER_S = 100;

/** CPU time of each serving thread in ms, the busiest first, for each round. Every round has new connections. */
export interface LoadSpread {
  readonly fullLoad: readonly (readonly number[])[];
  readonly constantLoad: readonly (readonly number[])[];
}

/** Measures how the load of many connections is shared among the threads of a relay. */
export async function measureSpread(
  bench: Bench,
  { pid, url, threads }: ThreadedServer,
  { path, headers }: HttpCase,
  { connections, rounds, durationS }: SpreadOptions,
): Promise<LoadSpread> {
  const load = { url: url + path, headers, connections, durationS };
  const fullLoad: number[][] = [];
  const constantLoad: number[][] = [];
  for (let round = 0; round < rounds; round++) {
    bench.progress(`threads: load of ${threads} threads, round ${round + 1} of ${rounds}`);
    fullLoad.push(await busiest(pid, threads, () => runWrk(bench, load)));
    const constant = { ...load, perConnectionPerS: PER_CONNECTION_PER_S };
    constantLoad.push(await busiest(pid, threads, () => runH2load(bench, constant)));
  }
  return { fullLoad, constantLoad };
}

/** Returns the CPU time of the `threads` threads that used most while `run` ran: no other has work to do. */
async function busiest(pid: number, threads: number, run: () => Promise<unknown>): Promise<number[]> {
  const before = threadCpuMs(pid);
  await run();
  const used = [...threadCpuMs(pid)].map(([id, cpuMs]) => cpuMs - (before.get(id) ?? 0));
  return used.sort((a, b) => b - a).slice(0, threads);
}

/** Returns the largest distance of a thread from the mean, in percent of the mean. */
function deviation(cpuMs: readonly number[]): number {
  const mean = cpuMs.reduce((sum, each) => sum + each, 0) / cpuMs.length;
  return (100 * Math.max(...cpuMs.map((each) => Math.abs(each - mean)))) / mean;
}

export interface SpreadRun {
  readonly threads: number;
  /** Cores of the relay and the client. */
  readonly cores: string;
  readonly spread: LoadSpread;
}

export function spreadTable(connections: number, runs: readonly SpreadRun[]): Table {
  const percent = (value: number) => value.toFixed(1);
  const deviations = (rounds: LoadSpread["fullLoad"]) => spread(spreadOf(rounds.map(deviation)), percent);
  return {
    title: `threads: CPU time of the thread farthest from the mean, ${connections} new connections each round, %`,
    head: ["threads", "at full load", `${connections * PER_CONNECTION_PER_S} requests/s`],
    rows: runs.map(({ threads, cores, spread: { fullLoad, constantLoad } }) => [
      `${threads}, ${cores}`,
      deviations(fullLoad),
      deviations(constantLoad),
    ]),
  };
}
