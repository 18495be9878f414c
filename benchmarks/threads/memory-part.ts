import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, type Part, type PartResult, programsOf } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { projectOfJsonBytes } from "../project.ts";
import { type RelayProgram, threadArgs } from "../relay-program.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";
import { megabytes } from "../table.ts";

const SMALL_KEYS = 1_000;
const SMALL_BYTES = 20_000;
const LARGE_BYTES = 5_000_000;
const LARGE_KEY = "secret-bench-large";
/** By default the relay keeps 1,000 keys. */
const KEPT_KEYS = 2 * SMALL_KEYS;
const COUNTS = [1, 4, 16];
/** With 16 threads, one in 300 runs leaves a thread without any connection. */
const CONNECTIONS_PER_THREAD = 8;
const SETTLE_MS = 5_000;
const LOAD_TIMEOUT_MS = 300_000;

/** Resident memory in bytes. */
interface ThreadMemory {
  readonly name: string;
  readonly threads: number;
  readonly idle: number;
  /** Every key was fetched on one connection. */
  readonly cached: number;
  /** Every thread has sent every response. */
  readonly loaded: number;
  /** The highest while it was sent. */
  readonly peak: number;
}

/** Measures what serving threads add to the memory of a relay. */
export const threadMemoryPart: Part = { name: "thread-memory", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const measured: ThreadMemory[] = [];
  for (const program of programsOf(bench)) {
    for (const threads of program.hasServingThreads ? COUNTS : [1])
      measured.push(await measureMemory(bench, program, threads));
  }
  return {
    tables: [
      {
        title: "thread-memory: RSS in MB",
        head: ["relay, threads", "no key", "keys cached", "sent by all threads", "peak"],
        rows: measured.map(({ name, threads, idle, cached, loaded, peak }) => [
          `${name}, ${threads}`,
          ...[idle, cached, loaded, peak].map(megabytes),
        ]),
      },
    ],
    notes: [
      `${SMALL_KEYS} keys of ${SMALL_BYTES / 1_000} KB and one of ${LARGE_BYTES / 1_000_000} MB of JSON; small ones sent as gzip, the large one in every encoding`,
      `${CONNECTIONS_PER_THREAD} connections for each thread request every key; memory ${SETTLE_MS / 1_000} s later`,
    ],
    raw: measured,
  };
}

async function measureMemory(bench: Bench, program: RelayProgram, threads: number): Promise<ThreadMemory> {
  bench.progress(`thread-memory: ${program.name} with ${threads} threads`);
  await using upstream = await StaticUpstream.start();
  const keys = Array.from({ length: SMALL_KEYS }, (_, at) => `secret-bench-${at}`);
  const small = projectOfJsonBytes(SMALL_BYTES, FIRST_LCUT);
  for (const key of keys) upstream.publish(key, small);
  upstream.publish(LARGE_KEY, projectOfJsonBytes(LARGE_BYTES, FIRST_LCUT));
  const targets = [
    ...keys.map((key) => `${specPath(key)} gzip`),
    ...["identity", "gzip", "br", "zstd"].map((encoding) => `${specPath(LARGE_KEY)} ${encoding}`),
  ];
  const args = ["--maximum-concurrent-sdk-keys", String(KEPT_KEYS), ...threadArgs(program, threads)];
  await using relay = await RelayServer.start(bench, { program, upstream, cores: undefined, args });
  const { pid } = relay;
  const settled = async (): Promise<number> => {
    await sleep(SETTLE_MS, undefined, { signal: bench.signal });
    return residentBytes(pid);
  };
  const idle = await settled();
  await requestAll(bench, relay, 1, targets);
  const cached = await settled();
  resetPeak(pid);
  await requestAll(bench, relay, threads * CONNECTIONS_PER_THREAD, targets);
  const peak = peakResidentBytes(pid);
  return { name: program.name, threads, idle, cached, peak, loaded: await settled() };
}

async function requestAll(
  bench: Bench,
  relay: RelayServer,
  connections: number,
  targets: readonly string[],
): Promise<void> {
  const file = join(bench.scratch, "targets.txt");
  writeFileSync(file, targets.join("\n"));
  const args = [relay.httpUrl, String(connections), file];
  await using client = new ClientProcess(bench, "threads/all-keys-client.ts", args);
  await client.next<number>(LOAD_TIMEOUT_MS);
}
