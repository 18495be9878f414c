import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Part, PartResult } from "../bench.ts";
import { freePort } from "../loopback.ts";
import { residentBytes } from "../proc-stats.ts";
import { RelayServer } from "../relay-server.ts";
import { StaticUpstream } from "../static-upstream.ts";
import { count, megabytes } from "../table.ts";
import { EventUpstream } from "./event-upstream.ts";

const BATCHES_PER_S = 10;
const EVENTS_PER_BATCH = 100;
const DRAIN_LIMIT_MS = 150_000;

/** Sends log events to a relay with a spool while upstream is down, then starts upstream. */
export const spoolOutagePart: Part = { name: "spool-outage", needs: [], run };

async function run(bench: Bench): Promise<PartResult> {
  const seconds = bench.quick ? 10 : 300;
  await using specs = await StaticUpstream.start();
  const port = await freePort();
  const relay = await RelayServer.start(bench, {
    upstream: specs,
    cores: undefined,
    args: ["--event-spool-path", join(bench.scratch, "spool")],
    env: { LOG_EVENT_STATSIG_ENDPOINT: `http://127.0.0.1:${port}` },
  });
  await using _ = relay;
  const memory = [residentBytes(relay.pid)];
  const { accepted, refused } = await send(bench, relay.httpUrl, seconds, () =>
    memory.push(residentBytes(relay.pid)),
  );
  await using upstream = await EventUpstream.start(port);
  const backAt = performance.now();
  while (upstream.counts.events < accepted && performance.now() - backAt < DRAIN_LIMIT_MS) {
    await sleep(50, undefined, { signal: bench.signal });
  }
  const drainMs = performance.now() - backAt;
  const { events, requests } = upstream.counts;
  const rows = [
    ["events accepted while upstream was down", count(accepted)],
    ["batches rejected", count(refused)],
    [
      "RSS at the start, and its maximum since, MB",
      `${megabytes(memory[0] ?? 0)}, ${megabytes(Math.max(...memory))}`,
    ],
    ["events that arrived after upstream was up", count(events)],
    ["ms and requests until then", `${count(drainMs)}, ${count(requests)}`],
    ["lost", count(Math.max(0, accepted - events))],
  ];
  return {
    tables: [{ title: `spool-outage: ${seconds} s of 1,000 events/s`, head: ["what", "value"], rows }],
    notes: ["16 requests of at most 1,000 events are in flight at a time while the spool is drained"],
    raw: { accepted, refused, memory, events, requests, drainMs },
  };
}

async function send(bench: Bench, url: string, seconds: number, everySecond: () => void) {
  const startedAt = performance.now();
  let accepted = 0;
  let refused = 0;
  for (let at = 0; at < seconds * BATCHES_PER_S; at++) {
    const waitMs = startedAt + (at * 1_000) / BATCHES_PER_S - performance.now();
    if (waitMs > 0) await sleep(waitMs, undefined, { signal: bench.signal });
    const response = await fetch(`${url}/v1/log_event`, {
      method: "POST",
      body: batch(at),
      headers: { "statsig-api-key": `secret-bench-spool-${at % 10}` },
    });
    await response.arrayBuffer();
    if (response.status === 202) accepted += EVENTS_PER_BATCH;
    else refused++;
    if (at % BATCHES_PER_S === 0) {
      bench.progress(`spool-outage: ${at / BATCHES_PER_S} of ${seconds} s`);
      everySecond();
    }
  }
  return { accepted, refused };
}

function batch(number: number): string {
  const events = Array.from({ length: EVENTS_PER_BATCH }, (_, at) => ({
    eventName: "checkout_completed",
    user: { userID: `user-${number}-${at}` },
    metadata: { note: "x".repeat(200) },
  }));
  return JSON.stringify({ events, statsigMetadata: { sessionID: `session-${number % 5}` } });
}
