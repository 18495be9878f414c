import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Part, PartResult } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { asIndependentClients, type Probing } from "../prepare/probing.ts";
import { peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { projectOfJsonBytes } from "../project.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";
import { quantile } from "../statistics.ts";
import { count, megabytes, ms, ratio } from "../table.ts";
import type { Bombing } from "./bombing.ts";
import { EventUpstream } from "./event-upstream.ts";

interface BombCase {
  readonly bomb: string;
  readonly coding: string;
  /** Status of upstream for log events. */
  readonly upstream: 202 | 401;
  /** Pause between bursts. 0: each connection sends its next bomb as soon as it has a response. */
  readonly pauseMs: number;
}

const burst = (bomb: string, coding = "gzip"): BombCase => ({ bomb, coding, upstream: 202, pauseMs: 1_000 });

const CASES: readonly BombCase[] = [
  burst("1.7 million empty events"),
  burst("1.7 million empty events", "zstd"),
  burst("1.7 million empty events", "br"),
  burst("a million times null"),
  burst("200 MiB of zeros", "zstd"),
  burst("20,000 empty events"),
  { ...burst("20,000 empty events"), upstream: 401 },
  burst("one event of 5 MB"),
  burst("one event of 1.7 million objects"),
  burst("2.6 million levels"),
  { ...burst("1.7 million empty events"), pauseMs: 0 },
  { ...burst("one event of 5 MB"), pauseMs: 0 },
];

const AT_ONCE = 30;
const SDK_KEY = "secret-bench-bombs";
/** Newer than any version, so that the response is always the 21 bytes of "no update". */
const NEWEST = 9_000_000_000_000;
const PROBING_MS = 2_000;
const START_MS = 30_000;
/** Bombs continue a little longer than the requests beside them. */
const MARGIN_MS = 500;
/** Longer than events wait to be batched. */
const SETTLE_MS = 3_000;

/** Each round has its own quiet half, since the load of the machine changes from minute to minute. */
interface Round {
  readonly bombing: Bombing;
  readonly quietMs: readonly number[];
  readonly duringMs: readonly number[];
}

interface Measured extends BombCase {
  readonly rounds: readonly Round[];
  readonly beforeBytes: number;
  readonly peakBytes: number;
  readonly afterBytes: number;
  readonly upstreamRequests: number;
}

/** Measures how 30 concurrent bodies that expand enormously affect other clients. */
export const eventBombsPart: Part = { name: "event-bombs", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const measured: Measured[] = [];
  for (const each of CASES) {
    bench.progress(`event-bombs: ${each.bomb} in ${each.coding}`);
    measured.push(await measure(bench, each, bench.quick ? 2 : 5));
  }
  return {
    tables: [
      {
        title: `event-bombs: 21 B responses over HTTP, quiet and under ${AT_ONCE} bombs at once, ms; RSS in MB`,
        head: [
          "bomb",
          "bytes",
          "answered",
          "upstream",
          "p50 quiet",
          "p50",
          "p99 quiet",
          "p99",
          "p99 ratio",
        ].concat(["RSS before", "peak", "after"]),
        rows: measured.map(rowOf),
      },
    ],
    notes: [
      "latencies are those of the best round, which other programs disturbed the least",
      "30 at once, and again a second after the last response; without pause: each connection sends its next bomb at once",
      "upstream: number of requests with log events",
      "the sender shares its core with the measuring client, at the lowest priority",
    ],
    raw: measured,
  };
}

function rowOf({ rounds, ...each }: Measured): string[] {
  const p = (share: number, of: (round: Round) => readonly number[]) =>
    rounds.map((round) => quantile(asIndependentClients(of(round)), share));
  const [p50Quiet, p50] = [p(0.5, ({ quietMs }) => quietMs), p(0.5, ({ duringMs }) => duringMs)];
  const [p99Quiet, p99] = [p(0.99, ({ quietMs }) => quietMs), p(0.99, ({ duringMs }) => duringMs)];
  return [
    `${each.bomb}, ${each.coding}${each.upstream === 401 ? ", key refused" : ""}${each.pauseMs === 0 ? ", without pause" : ""}`,
    count(rounds[0]?.bombing.bodyBytes ?? Number.NaN),
    answersOf(rounds),
    count(each.upstreamRequests),
    ...[p50Quiet, p50, p99Quiet, p99].map((values) => ms(Math.min(...values))),
    ratio(Math.min(...p99) / Math.min(...p99Quiet)),
    ...[each.beforeBytes, each.peakBytes, each.afterBytes].map(megabytes),
  ];
}

function answersOf(rounds: readonly Round[]): string {
  const sums = new Map<number, number>();
  for (const [status, times] of rounds.flatMap(({ bombing }) => bombing.answers)) {
    sums.set(status, (sums.get(status) ?? 0) + times);
  }
  return [...sums].map(([status, times]) => `${status}: ${count(times)}`).join(", ");
}

async function measure(bench: Bench, each: BombCase, howMany: number): Promise<Measured> {
  await using specs = await StaticUpstream.start();
  specs.publish(SDK_KEY, projectOfJsonBytes(20_000, FIRST_LCUT));
  await using upstream = await EventUpstream.start(0, each.upstream);
  const env = { LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  const options = { upstream: specs, cores: bench.cores?.server, env };
  await using relay = await RelayServer.start(bench, options, specPath(SDK_KEY));
  // Warm up: code is slow when it first runs.
  await round(bench, relay, each);
  const beforeBytes = residentBytes(relay.pid);
  const requestsBefore = upstream.counts.requests;
  resetPeak(relay.pid);
  const rounds: Round[] = [];
  while (rounds.length < howMany) rounds.push(await round(bench, relay, each));
  return {
    ...each,
    rounds,
    beforeBytes,
    peakBytes: peakResidentBytes(relay.pid),
    afterBytes: residentBytes(relay.pid),
    upstreamRequests: upstream.counts.requests - requestsBefore,
  };
}

async function round(bench: Bench, relay: RelayServer, each: BombCase): Promise<Round> {
  const quietMs = await probe(bench, relay, PROBING_MS);
  const [bombing, duringMs] = await Promise.all([
    bombFor(bench, relay, each, PROBING_MS + MARGIN_MS),
    probe(bench, relay, PROBING_MS),
  ]);
  await sleep(SETTLE_MS, undefined, { signal: bench.signal });
  return { bombing, quietMs, duringMs };
}

async function bombFor(
  bench: Bench,
  relay: RelayServer,
  each: BombCase,
  durationMs: number,
): Promise<Bombing> {
  const args = [relay.httpUrl, each.bomb, each.coding, ...[AT_ONCE, each.pauseMs, durationMs].map(String)];
  await using client = new ClientProcess(bench, "events/bomb-client.ts", args);
  await client.next<"started">(START_MS);
  return await client.next<Bombing>(durationMs + START_MS);
}

async function probe(bench: Bench, relay: RelayServer, durationMs: number): Promise<number[]> {
  const args = [relay.httpUrl, specPath(SDK_KEY, NEWEST), String(durationMs)];
  await using client = new ClientProcess(bench, "prepare/probe-client.ts", args);
  const { samples } = await client.next<Probing>(durationMs + START_MS);
  return samples.map(([, latencyMs]) => latencyMs);
}
