import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Part, PartResult } from "../bench.ts";
import { peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { projectOfGzipBytes, projectOfJsonBytes } from "../project.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";
import { megabytes } from "../table.ts";
import { largeConfigs } from "./large-configs.ts";
import { StalledReaders } from "./stalled-readers.ts";

const KEYS = 1_000;
const KEY_JSON_BYTES = 20_000;
const READERS = 200;
const LARGE_GZIP_BYTES = 2_000_000;
const LARGE_KEY = "secret-bench-large";
const SETTLE_MS = 1_000;
const KEYS_AT_ONCE = 16;

interface Sample {
  readonly what: string;
  readonly bytes: number;
  readonly peakBytes: number;
}

/** Measures the memory for cached config specs and for clients that do not read. */
export const memoryPart: Part = { name: "memory", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const samples = [...(await manyKeys(bench)), ...(await stalledReaders(bench))];
  const large = await largeConfigs(bench);
  const rows = samples.map(({ what, bytes, peakBytes }) => [what, megabytes(bytes), megabytes(peakBytes)]);
  return {
    tables: [
      { title: "memory: RSS of the relay", head: ["when", "RSS MB", "peak since the last row MB"], rows },
      {
        title: "memory: one large config",
        head: [
          "MB of JSON",
          "idle MB",
          "first: peak MB",
          "updates: peak MB",
          "x of the config",
          "at rest MB",
        ],
        rows: large.map((each) => {
          const peak = Math.max(...each.updatePeakBytes);
          return [
            String(each.megabytes),
            megabytes(each.idleBytes),
            megabytes(each.firstPeakBytes),
            each.updatePeakBytes.map(megabytes).join(", "),
            ((peak - each.idleBytes) / (each.megabytes * 1e6)).toFixed(1),
            megabytes(each.settledBytes),
          ];
        }),
      },
    ],
    notes: [
      `each key is ${KEY_JSON_BYTES / 1_000} KB of JSON, cached plain and as gzip, br and zstd`,
      "x of the config: the highest peak above idle, as a multiple of the JSON",
      "RSS excludes what the kernel buffers for a stalled connection",
    ],
    raw: { samples, large },
  };
}

async function manyKeys(bench: Bench): Promise<Sample[]> {
  await using upstream = await StaticUpstream.start();
  const keys = Array.from({ length: KEYS }, (_, at) => `secret-bench-${at}`);
  const project = projectOfJsonBytes(KEY_JSON_BYTES, FIRST_LCUT);
  for (const key of keys) upstream.publish(key, project);
  await using relay = await RelayServer.start(bench, { upstream, cores: undefined });
  await settle(bench);
  const samples = [sample("no key", relay.pid)];
  bench.progress(`memory: ${KEYS} keys`);
  while (keys.length > 0) {
    await Promise.all(
      keys.splice(0, KEYS_AT_ONCE).map((key) => requireSpecs(bench, relay.httpUrl + specPath(key))),
    );
  }
  samples.push(sample(`${KEYS} keys of 20 KB, just fetched`, relay.pid));
  await sleep(5 * SETTLE_MS, undefined, { signal: bench.signal });
  samples.push(sample("the same 5 s later", relay.pid));
  return samples;
}

async function stalledReaders(bench: Bench): Promise<Sample[]> {
  await using upstream = await StaticUpstream.start();
  upstream.publish(LARGE_KEY, projectOfGzipBytes(LARGE_GZIP_BYTES, FIRST_LCUT));
  await using relay = await RelayServer.start(bench, { upstream, cores: undefined });
  await requireSpecs(bench, relay.httpUrl + specPath(LARGE_KEY));
  await settle(bench);
  const samples = [sample("one key of 2 MB as gzip", relay.pid)];
  bench.progress(`memory: ${READERS} stalled readers`);
  {
    using _ = await StalledReaders.open(relay.httpUrl, specPath(LARGE_KEY), READERS, SETTLE_MS);
    samples.push(sample(`${READERS} stalled readers of it`, relay.pid));
  }
  await settle(bench);
  samples.push(sample("readers disconnected", relay.pid));
  return samples;
}

function sample(what: string, pid: number): Sample {
  const taken = { what, bytes: residentBytes(pid), peakBytes: peakResidentBytes(pid) };
  resetPeak(pid);
  return taken;
}

async function settle(bench: Bench): Promise<void> {
  await sleep(SETTLE_MS, undefined, { signal: bench.signal });
}

async function requireSpecs(bench: Bench, url: string): Promise<void> {
  const response = await fetch(url, { headers: { "accept-encoding": "gzip" }, signal: bench.signal });
  if (!response.ok) throw new Error(`the relay returned ${response.status}`);
  await response.arrayBuffer();
}
