// Runs the benchmarks. docs/benchmarks.md describes them.
//   bun run bench [http] [fanout] [stalled] [open-cancel] [storm] [startup] [memory] [prepare] [fleet] [redis-outage] [chaos]
//     [events] [event-bombs] [spool-outage] [hostile] [flat-out] [rotation] [monitoring] [profiling]
//     [threads] [update] [thread-memory] [deltas] [runtimes] [--quick] [--json <file>] [--source] [--baseline <folder>]
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ArgumentError, type BenchArguments, readArguments } from "./arguments.ts";
import type { Bench, Part } from "./bench.ts";
import { chooseCores } from "./cores.ts";
import { missingCommands } from "./debian-tools.ts";
import { deltasPart } from "./deltas/deltas-part.ts";
import { eventBombsPart } from "./events/event-bombs-part.ts";
import { eventsPart } from "./events/events-part.ts";
import { spoolOutagePart } from "./events/spool-outage-part.ts";
import { fanoutPart } from "./fanout/fanout-part.ts";
import { flatOutPart, hostilePart } from "./hostile/hostile-part.ts";
import { httpPart } from "./http/http-part.ts";
import { describeMachine, machineLines } from "./machine.ts";
import { memoryPart } from "./memory/memory-part.ts";
import { monitoringPart } from "./monitoring/monitoring-part.ts";
import { profilingPart } from "./monitoring/profiling-part.ts";
import { preparePart } from "./prepare/prepare-part.ts";
import { chaosPart } from "./redis/chaos-part.ts";
import { fleetPart } from "./redis/fleet-part.ts";
import { redisOutagePart } from "./redis/redis-outage-part.ts";
import { prepareRelay } from "./relay-program.ts";
import { runtimesPart } from "./runtimes/runtimes-part.ts";
import { startupPart } from "./startup-part.ts";
import { openCancelPart } from "./streams/open-cancel-part.ts";
import { stalledPart } from "./streams/stalled-part.ts";
import { stormPart } from "./streams/storm-part.ts";
import { formatTable } from "./table.ts";
import { threadMemoryPart } from "./threads/memory-part.ts";
import { threadsPart } from "./threads/threads-part.ts";
import { updatePart } from "./threads/update-part.ts";
import { rotationPart } from "./tls/rotation-part.ts";

const PARTS: readonly Part[] = [
  httpPart,
  fanoutPart,
  stalledPart,
  openCancelPart,
  stormPart,
  startupPart,
  memoryPart,
  preparePart,
  fleetPart,
  redisOutagePart,
  chaosPart,
  eventsPart,
  eventBombsPart,
  spoolOutagePart,
  hostilePart,
  flatOutPart,
  rotationPart,
  monitoringPart,
  profilingPart,
  threadsPart,
  updatePart,
  threadMemoryPart,
  deltasPart,
  runtimesPart,
];

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

/** A run of the whole suite takes half of this. */
const MAX_RUN_MS = 180 * 60_000;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => interrupted.abort());
  try {
    return await runParts(readArguments(argv, PARTS), interrupted.signal);
  } catch (error) {
    console.error(interrupted.signal.aborted ? "bench: stopped" : `bench: ${describe(error)}`);
    if (interrupted.signal.aborted) return EXIT_INTERRUPTED;
    return error instanceof ArgumentError ? EXIT_USAGE : EXIT_FAILED;
  }
}

async function runParts(
  { parts, quick, fromSource, baseline: checkout, jsonFile }: BenchArguments,
  stop: AbortSignal,
): Promise<number> {
  const relay = await prepareRelay("relay", fromSource);
  const baseline =
    checkout === undefined ? undefined : await prepareRelay("baseline", fromSource, resolve(checkout));
  const cores = chooseCores();
  const missing = await missingCommands([...new Set(parts.flatMap(({ needs }) => needs))]);
  const machine = await describeMachine(cores);
  console.log(
    `${machineLines(machine, relay, baseline)}${quick ? "\nquick     fewer and shorter rounds" : ""}`,
  );

  using directory = scratchDirectory();
  const signal = AbortSignal.any([stop, AbortSignal.timeout(MAX_RUN_MS)]);
  const bench: Bench = { quick, relay, baseline, cores, scratch: directory.path, signal, progress };
  const results: Record<string, unknown> = {};
  let failed = 0;
  for (const part of parts) {
    if (part.needs.some((name) => missing.includes(name))) {
      console.log(`\n${part.name}: skipped: needs ${part.needs.join(" and ")}`);
      failed++;
      continue;
    }
    try {
      results[part.name] = await runPart(part, bench);
    } catch (error) {
      signal.throwIfAborted();
      console.error(`\n${part.name}: failed: ${describe(error)}`);
      failed++;
    }
  }
  if (jsonFile !== undefined) {
    writeFileSync(jsonFile, `${JSON.stringify({ machine, relay, baseline, quick, results }, null, 2)}\n`);
  }
  return failed === 0 ? 0 : EXIT_FAILED;
}

async function runPart(part: Part, bench: Bench): Promise<unknown> {
  const { tables, notes, raw } = await part.run(bench);
  for (const table of tables) console.log(`\n${formatTable(table)}`);
  if (notes.length > 0) console.log(`\n${notes.map((note) => `- ${note}`).join("\n")}`);
  return raw;
}

function progress(doing: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${doing}\r`);
}

function scratchDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "relay-bench-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
