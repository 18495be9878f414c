import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, type Part, type PartResult, programsOf } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { coresForThreads } from "../cores.ts";
import { projectOfJsonBytes } from "../project.ts";
import { type RelayProgram, threadArgs } from "../relay-program.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";
import { spreadOf } from "../statistics.ts";
import { count, ms, spread } from "../table.ts";
import type { Sighting, Sightings } from "./sightings.ts";
import { threadCounts } from "./thread-counts.ts";

const SDK_KEY = "secret-bench-update";
/** Newer than any version, so that the response is always the 21 bytes of "no update", with the version in a header. */
const NEWEST = 9_000_000_000_000;
const UPDATE_EVERY_MS = 2_000;
const LAST_UPDATE_TIMEOUT_MS = 30_000;
const CONNECTIONS_PER_THREAD = 32;
/** Requests of all connections together, as far as responses come at once. */
const REQUESTS_PER_MS = 8;

const SIZES = [
  { size: "20 KB", bytes: 20_000 },
  { size: "5 MB", bytes: 5_000_000 },
] as const;

interface UpdateCase {
  readonly program: RelayProgram;
  readonly threads: number;
  readonly size: string;
  readonly bytes: number;
}

interface UpdateRun extends UpdateCase {
  readonly connections: number;
  readonly requests: number;
  readonly updates: readonly Sighting[];
}

/** Measures how long the threads of a relay serve different versions. */
export const updatePart: Part = { name: "update", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const runs: UpdateRun[] = [];
  for (const each of casesOf(bench)) runs.push(await measureUpdates(bench, each));
  return {
    tables: [
      {
        title: "update: from the first connection that receives a new version, median (min-max), ms",
        head: ["relay, threads", "config", "to the last connection", "to the last request for an older one"],
        rows: runs.map(({ program, threads, size, updates }) => [
          `${program.name}, ${threads}`,
          size,
          spread(spreadOf(updates.map(({ firstMs, lastMs }) => lastMs - firstMs)), ms),
          spread(spreadOf(updates.map(lastOldMs)), ms),
        ]),
      },
    ],
    notes: [
      `${CONNECTIONS_PER_THREAD} connections for each thread, opened at the start; no version went back on any of them`,
      `${count(runs.reduce((sum, { requests }) => sum + requests, 0))} requests; the time of the last thread is between the two columns`,
    ],
    raw: runs.map(({ program, ...each }) => ({ program: program.name, ...each })),
  };
}

/** 0 if no request was sent after the first response with the new version that got an older one. */
const lastOldMs = ({ firstMs, lastOldSentMs }: Sighting): number => Math.max(0, lastOldSentMs - firstMs);

function casesOf(bench: Bench): UpdateCase[] {
  return programsOf(bench).flatMap((program) =>
    [1, ...(program.hasServingThreads ? threadCounts() : [])].flatMap((threads) =>
      SIZES.map((each) => ({ program, threads, ...each })),
    ),
  );
}

async function measureUpdates(narrow: Bench, updateCase: UpdateCase): Promise<UpdateRun> {
  const { program, threads, size, bytes } = updateCase;
  const bench = { ...narrow, cores: coresForThreads(Math.max(2, threads)) };
  bench.progress(`update: ${size}, ${program.name} with ${threads} threads`);
  const updates = bench.quick ? 3 : 10;
  const [first, ...later] = Array.from({ length: updates + 1 }, (_, at) =>
    projectOfJsonBytes(bytes, FIRST_LCUT + at),
  );
  if (first === undefined) throw new Error("there is no version to publish");
  await using upstream = await StaticUpstream.start();
  upstream.publish(SDK_KEY, first);
  const args = threadArgs(program, threads);
  const options = { program, upstream, cores: bench.cores?.server, pollIntervalS: 1, args };
  await using relay = await RelayServer.start(bench, options, specPath(SDK_KEY));
  const connections = threads * CONNECTIONS_PER_THREAD;
  const pauseMs = connections / REQUESTS_PER_MS;
  const lastVersion = FIRST_LCUT + updates;
  const clientArgs = [relay.httpUrl, specPath(SDK_KEY, NEWEST), connections, pauseMs, lastVersion].map(
    String,
  );
  await using client = new ClientProcess(bench, "threads/version-client.ts", clientArgs);
  for (const version of later) {
    await sleep(UPDATE_EVERY_MS, undefined, { signal: bench.signal });
    upstream.publish(SDK_KEY, version);
  }
  const { requests, versions } = await client.next<Sightings>(LAST_UPDATE_TIMEOUT_MS);
  const seen = versions.filter(({ lcut }) => lcut > first.lcut);
  if (seen.length !== updates || seen.some((each) => each.connections !== connections))
    throw new Error("a connection missed an update");
  return { ...updateCase, connections, requests, updates: seen };
}
