import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { PROBE_PAUSE_MS, type Probing } from "../prepare/probing.ts";
import { stallsOf, type UpdateStalls } from "../prepare/update-stalls.ts";
import type { StaticUpstream } from "../static-upstream.ts";
import { type DeltaRelay, PROTO_CODINGS } from "./delta-relay.ts";

/** An update begins at the relay's next poll, within a second. */
const PROBING_MS = 3_000;
const QUIET_MS = 500;

/** Publishes a version while a client sends small requests, and returns their latencies during and beside the update. */
export async function measureStalls(
  bench: Bench,
  upstream: StaticUpstream,
  relay: DeltaRelay,
): Promise<UpdateStalls> {
  const args = [relay.server.httpUrl, relay.probePath, PROBING_MS, PROBE_PAUSE_MS, PROTO_CODINGS].map(String);
  await using probe = new ClientProcess(bench, "prepare/probe-client.ts", args);
  await sleep(QUIET_MS, undefined, { signal: bench.signal });
  const { lcut } = relay.publish();
  const { samples, versions } = await probe.next<Probing>(2 * PROBING_MS);
  const [until] = versions.find(([, seen]) => seen === lcut) ?? [];
  if (until === undefined) throw new Error("the client missed an update");
  return stallsOf(samples, [{ from: upstream.sentAt(lcut), until }]);
}
