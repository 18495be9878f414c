import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Part, PartResult } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { type CpuTime, cpuSince, cpuTime, peakResidentBytes } from "../proc-stats.ts";
import { RelayServer } from "../relay-server.ts";
import { StaticUpstream } from "../static-upstream.ts";
import { count, megabytes } from "../table.ts";
import { EventUpstream } from "./event-upstream.ts";
import type { Sending } from "./sending.ts";

const KINDS = [
  ["custom", "custom events"],
  ["exposures", "exposures, no duplicates"],
  ["repeats", "exposures, all duplicates"],
] as const;

interface Measured {
  readonly name: string;
  readonly sending: Sending;
  readonly forwarded: EventUpstream["counts"];
  readonly tookMs: number;
  readonly cpu: CpuTime;
  readonly peakBytes: number;
}

/** Measures how many log events a relay on one core accepts and forwards, with gzip in and out. */
export const eventsPart: Part = { name: "events", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const all: Measured[] = [];
  for (const [kind, name] of KINDS) {
    bench.progress(`events: ${name}`);
    all.push(await measure(bench, kind, name));
  }
  const rows = all.map(({ name, sending, forwarded, tookMs, cpu, peakBytes }) => [
    name,
    count((1_000 * sending.events) / tookMs),
    count((1_000 * forwarded.events) / tookMs),
    ((1_000 * cpu.processMs) / sending.events).toFixed(1),
    ((1_000 * cpu.mainThreadMs) / sending.events).toFixed(1),
    count(forwarded.events / Math.max(1, forwarded.requests)),
    String(sending.refused),
    megabytes(peakBytes),
  ]);
  const [first] = all;
  const size = first && Math.round(first.sending.plainBytes / 1_000);
  return {
    tables: [
      {
        title: "events: a relay on one core, batches of 1,000, gzip in and out",
        head: [
          "events",
          "taken/s",
          "forwarded/s",
          "CPU us/event",
          "main us/event",
          "per request",
          "503s",
          "peak MB",
        ],
        rows,
      },
    ],
    notes: [
      `an event is ${size} bytes of JSON; rates are per second of sending; everything forwarded is counted`,
      "CPU is that of all threads of the relay; the main thread serves requests",
    ],
    raw: all,
  };
}

async function measure(bench: Bench, kind: string, name: string): Promise<Measured> {
  const durationMs = bench.quick ? 3_000 : 10_000;
  await using specs = await StaticUpstream.start();
  await using upstream = await EventUpstream.start();
  const env = { LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  await using relay = await RelayServer.start(bench, { upstream: specs, cores: bench.cores?.server, env });
  const before = cpuTime(relay.pid);
  await using client = new ClientProcess(bench, "events/event-client.ts", [
    relay.httpUrl,
    kind,
    String(durationMs),
  ]);
  const upstreamIsQuiet = async () => {
    for (let last = -1; last !== upstream.counts.events; ) {
      last = upstream.counts.events;
      await sleep(QUIET_MS, undefined, { signal: bench.signal });
    }
  };
  const sending = await client.next<Sending>(3 * durationMs + 10_000);
  await upstreamIsQuiet();
  return {
    name,
    sending,
    forwarded: upstream.counts,
    tookMs: durationMs,
    cpu: cpuSince(relay.pid, before),
    peakBytes: peakResidentBytes(relay.pid),
  };
}

/** Longer than events wait to be batched. */
const QUIET_MS = 1_500;
