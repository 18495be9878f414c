import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import type { CoreList } from "../cores.ts";
import { projectOfJsonBytes } from "../project.ts";
import type { RelayProgram } from "../relay-program.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";
import { asIndependentClients, type Probing } from "./probing.ts";

const SDK_KEY = "secret-bench-prepare";
/** Newer than any version, so that the response is always the 21 bytes of "no update". */
const NEWEST = 9_000_000_000_000;
const UPDATE_EVERY_MS = 2_500;
/** The time after an update also counts, for example when the old version is garbage-collected. */
const AFTERMATH_MS = 200;

/** Latencies of small requests, in ms, during and between updates. */
export interface UpdateStalls {
  /** Time from upstream's response until clients see the new version, for each update. */
  readonly updateMs: readonly number[];
  /** Slowest request of each update. No stall of the event loop was longer. */
  readonly longestMs: readonly number[];
  readonly duringMs: readonly number[];
  readonly quietMs: readonly number[];
}

/** Sends small requests while a relay loads new versions of a large payload. */
export async function measureStalls(
  bench: Bench,
  program: RelayProgram,
  jsonBytes: number,
  updates: number,
  cores: CoreList,
): Promise<UpdateStalls> {
  await using upstream = await StaticUpstream.start();
  const versions = Array.from({ length: updates + 1 }, (_, at) =>
    projectOfJsonBytes(jsonBytes, FIRST_LCUT + at),
  );
  const [first, ...later] = versions;
  if (first !== undefined) upstream.publish(SDK_KEY, first);
  await using relay = await RelayServer.start(
    bench,
    { program, upstream, cores, pollIntervalS: 1 },
    specPath(SDK_KEY),
  );
  const probingMs = (updates + 1) * UPDATE_EVERY_MS;
  const probeArgs = [relay.httpUrl, specPath(SDK_KEY, NEWEST), String(probingMs)];
  await using probe = new ClientProcess(bench, "prepare/probe-client.ts", probeArgs);
  for (const version of later) {
    await sleep(UPDATE_EVERY_MS, undefined, { signal: bench.signal });
    upstream.publish(SDK_KEY, version);
  }
  const probing = await probe.next<Probing>(2 * probingMs);
  const served = new Map(probing.versions.map(([at, lcut]) => [lcut, at]));
  const windows = later.map(({ lcut }) => ({
    from: upstream.sentAt(lcut),
    until: served.get(lcut) ?? Number.NaN,
  }));
  if (windows.some(({ from, until }) => !(until >= from))) throw new Error("a client missed an update");
  return stallsOf(probing.samples, windows);
}

/** The time from upstream's response until clients see the new version. */
export interface Window {
  readonly from: number;
  readonly until: number;
}

export function stallsOf(samples: Probing["samples"], windows: readonly Window[]): UpdateStalls {
  const latencies = (chosen: Probing["samples"]) => chosen.map(([, latency]) => latency);
  const perUpdate = windows.map((window) => latencies(samples.filter((sample) => isIn(sample, window))));
  const quiet = samples.filter((sample) => !windows.some((window) => isIn(sample, window)));
  return {
    updateMs: windows.map(({ from, until }) => until - from),
    longestMs: perUpdate.map((each) => Math.max(...each)),
    duringMs: asIndependentClients(perUpdate.flat()),
    quietMs: asIndependentClients(latencies(quiet)),
  };
}

function isIn([sentAt, latency]: readonly [number, number], { from, until }: Window): boolean {
  return sentAt + latency >= from && sentAt <= until + AFTERMATH_MS;
}
