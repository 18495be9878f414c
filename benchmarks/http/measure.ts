import type { Bench } from "../bench.ts";
import { familyCpuMs } from "../proc-stats.ts";
import type { HttpCase } from "./cases.ts";
import type { HttpServer } from "./http-server.ts";
import { requireSameAnswers } from "./same-answers.ts";
import { runWrk, type WrkResult } from "./wrk.ts";

export interface HttpResult extends WrkResult {
  /** CPU time of the server. Other programs affect it much less than the other results. */
  readonly cpuMicrosPerRequest: number;
}

/** Results of one round, by name of the server. */
export type Round = ReadonlyMap<string, HttpResult>;

export interface Measured {
  readonly httpCase: HttpCase;
  readonly rounds: readonly Round[];
}

export interface MeasureOptions {
  readonly rounds: number;
  readonly durationS: number;
  readonly connections: number;
}

/** Loads the servers in turn in each round, so that other programs affect all of them alike. */
export async function measureCase(
  bench: Bench,
  servers: readonly HttpServer[],
  httpCase: HttpCase,
  options: MeasureOptions,
): Promise<Measured> {
  await requireSameAnswers(servers, httpCase);
  const rounds: Round[] = [];
  for (let round = 0; round < options.rounds; round++) {
    bench.progress(`http, ${httpCase.name}: round ${round + 1} of ${options.rounds}`);
    // Another server is first in each round.
    const order = servers
      .map((_, at) => servers[(at + round) % servers.length])
      .filter((each) => each !== undefined);
    rounds.push(await measureRound(bench, order, httpCase, options));
  }
  await requireSameAnswers(servers, httpCase);
  return { httpCase, rounds };
}

export async function measureRound(
  bench: Bench,
  servers: readonly HttpServer[],
  { name, path, headers }: HttpCase,
  { durationS, connections }: MeasureOptions,
): Promise<Round> {
  const round = new Map<string, HttpResult>();
  for (const server of servers) {
    const cpuBeforeMs = familyCpuMs(server.pid);
    const result = await runWrk(bench, { url: server.url + path, headers, connections, durationS });
    if (result.badAnswers > 0)
      throw new Error(`${name}: ${result.badAnswers} bad responses from ${server.name}`);
    const cpuMicros = (familyCpuMs(server.pid) - cpuBeforeMs) * 1_000;
    round.set(server.name, { ...result, cpuMicrosPerRequest: cpuMicros / result.requests });
    server.tidy();
  }
  return round;
}
