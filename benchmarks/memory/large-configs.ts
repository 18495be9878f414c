import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "../bench.ts";
import { peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { projectOfJsonBytes } from "../project.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";

const SIZES_MB = [1, 5, 20, 60];
const KEY = "secret-bench-large";
const SETTLE_MS = 2_000;
const UPDATES = 3;

export interface LargeConfigMemory {
  readonly megabytes: number;
  readonly idleBytes: number;
  /** Peak while the first version is fetched and prepared. */
  readonly firstPeakBytes: number;
  /** Peak of each update, while the previous version is still cached. */
  readonly updatePeakBytes: readonly number[];
  readonly settledBytes: number;
}

/** Measures the memory of a relay with a single config, for each size. */
export async function largeConfigs(bench: Bench): Promise<LargeConfigMemory[]> {
  const measured: LargeConfigMemory[] = [];
  for (const megabytes of SIZES_MB) {
    bench.progress(`memory: a config of ${megabytes} MB`);
    measured.push(await largeConfig(bench, megabytes));
  }
  return measured;
}

async function largeConfig(bench: Bench, megabytes: number): Promise<LargeConfigMemory> {
  await using upstream = await StaticUpstream.start();
  const publish = (lcut: number) => upstream.publish(KEY, projectOfJsonBytes(megabytes * 1e6, lcut));
  publish(FIRST_LCUT);
  await using relay = await RelayServer.start(bench, { upstream, cores: undefined, pollIntervalS: 1 });
  const settle = () => sleep(SETTLE_MS, undefined, { signal: bench.signal });
  await settle();
  const idleBytes = residentBytes(relay.pid);
  resetPeak(relay.pid);
  await served(bench, relay, FIRST_LCUT);
  const firstPeakBytes = peakResidentBytes(relay.pid);
  const updatePeakBytes: number[] = [];
  for (let update = 1; update <= UPDATES; update++) {
    await settle();
    resetPeak(relay.pid);
    publish(FIRST_LCUT + update);
    await served(bench, relay, FIRST_LCUT + update);
    updatePeakBytes.push(peakResidentBytes(relay.pid));
  }
  await settle();
  return { megabytes, idleBytes, firstPeakBytes, updatePeakBytes, settledBytes: residentBytes(relay.pid) };
}

/** Resolves when a client gets the version. Downloads no body before. */
async function served(bench: Bench, relay: RelayServer, lcut: number): Promise<void> {
  for (;;) {
    const response = await fetch(relay.httpUrl + specPath(KEY), {
      method: lcut === FIRST_LCUT ? "GET" : "HEAD",
      headers: { "accept-encoding": "gzip" },
      signal: bench.signal,
    });
    if (!response.ok) throw new Error(`the relay returned ${response.status}`);
    await response.arrayBuffer();
    if (Number(response.headers.get("x-since-time")) >= lcut) return;
    await sleep(20, undefined, { signal: bench.signal });
  }
}
