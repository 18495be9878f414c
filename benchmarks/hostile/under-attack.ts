import { setTimeout as sleep } from "node:timers/promises";
import type { AttackName, AttackOrder, AttackResult } from "../../tests/support/clients/attacks.ts";
import { Authority } from "../../tests/support/relay/pki.ts";
import type { Bench } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import type { CoreList } from "../cores.ts";
import { freePort } from "../loopback.ts";
import type { Probing } from "../prepare/probing.ts";
import { openDescriptors, peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { projectOfJsonBytes } from "../project.ts";
import type { RelayProgram } from "../relay-program.ts";
import { RelayServer } from "../relay-server.ts";
import { FIRST_LCUT, StaticUpstream, specPath } from "../static-upstream.ts";

export interface AttackCase {
  readonly attack: AttackName;
  readonly protocol: "http" | "https" | "grpc";
  readonly connections: number;
  /** Rate per connection. Above what it can send, it sends at full speed. */
  readonly perSecond: number;
}

interface UnderAttackOptions {
  readonly program: RelayProgram;
  /** Cores of the relay. */
  readonly cores: CoreList;
  readonly attack: AttackCase;
  /** Each round has a quiet part and one with the attack, both of this length. */
  readonly probingMs: number;
  readonly rounds: number;
}

interface Use {
  readonly bytes: number;
  readonly descriptors: number;
}

/** Latencies of small requests in ms, before an attack and during it. */
interface AttackRound {
  readonly quietMs: readonly number[];
  readonly duringMs: readonly number[];
}

/** Results of all rounds. */
export interface UnderAttack {
  readonly result: AttackResult;
  readonly seconds: number;
  readonly rounds: readonly AttackRound[];
  readonly before: Use;
  /** Peak of memory; descriptors at the end of the attack. */
  readonly peak: Use;
  readonly after: Use;
}

const SDK_KEY = "secret-bench-hostile";
/** Newer than any version, so that the response is always the 21 bytes of "no update". */
const NEWEST = 9_000_000_000_000;
const SETTLE_MS = 5_000;
const START_MS = 30_000;
const WARM_UP = { connections: 2, perSecond: 500, durationMs: 2_000 } as const;
/** The attack continues a little longer than the requests beside it. */
const MARGIN_MS = 1_000;

/** Sends small requests over HTTP to a new relay, in turn without other clients and during an attack. */
export async function measureUnderAttack(
  bench: Bench,
  { program, cores, attack: { protocol, ...attack }, probingMs, rounds: count }: UnderAttackOptions,
): Promise<UnderAttack> {
  await using upstream = await StaticUpstream.start();
  upstream.publish(SDK_KEY, projectOfJsonBytes(20_000, FIRST_LCUT));
  using authority = new Authority();
  const httpsPort = await freePort();
  // Ports share the descriptors that the system allows. With four ports, one of them may get fewer than 5,000.
  const args = protocol === "https" ? tlsArgs(authority, httpsPort, await freePort()) : [];
  const options = { program, upstream, cores, args };
  await using relay = await RelayServer.start(bench, options, specPath(SDK_KEY));
  const probe = () => probeLatencies(bench, relay, probingMs);
  const urls = { http: relay.httpUrl, https: `https://127.0.0.1:${httpsPort}`, grpc: relay.grpcUrl };
  const url = urls[protocol];
  // Warm up: code is slow when it first runs.
  await attackFor(bench, { ...attack, ...WARM_UP, url });
  await probeLatencies(bench, relay, WARM_UP.durationMs);
  const before = useOf(relay.pid);
  resetPeak(relay.pid);
  const durationMs = probingMs + MARGIN_MS;
  const rounds: AttackRound[] = [];
  const result = { sent: 0, connections: 0, closedByServer: 0 };
  let descriptors = 0;
  for (let round = 0; round < count; round++) {
    const quietMs = await probe();
    await using attacker = startAttacker(bench, { ...attack, url, durationMs });
    await attacker.next<"started">(START_MS);
    rounds.push({ quietMs, duringMs: await probe() });
    descriptors = Math.max(descriptors, openDescriptors(relay.pid));
    const { sent, connections, closedByServer } = await attacker.next<AttackResult>(durationMs + START_MS);
    result.sent += sent;
    result.connections += connections;
    result.closedByServer += closedByServer;
  }
  const peak = { bytes: peakResidentBytes(relay.pid), descriptors };
  await sleep(SETTLE_MS, undefined, { signal: bench.signal });
  const seconds = (count * durationMs) / 1_000;
  return { result, seconds, rounds, before, peak, after: useOf(relay.pid) };
}

async function attackFor(bench: Bench, order: AttackOrder): Promise<void> {
  await using attacker = startAttacker(bench, order);
  await attacker.next<"started">(START_MS);
  await attacker.next<AttackResult>(order.durationMs + START_MS);
}

function startAttacker(bench: Bench, order: AttackOrder): ClientProcess {
  return new ClientProcess(bench, "../tests/support/clients/attacker-process.ts", [JSON.stringify(order)]);
}

function tlsArgs(authority: Authority, httpsPort: number, grpcsPort: number): readonly string[] {
  const { certPath, keyPath } = authority.issue();
  const files = ["--x509-server-cert-path", certPath, "--x509-server-key-path", keyPath];
  const ports = ["--https-port", String(httpsPort), "--grpcs-port", String(grpcsPort)];
  return [...files, ...ports, "--enforce-tls", "false"];
}

async function probeLatencies(bench: Bench, relay: RelayServer, probingMs: number): Promise<number[]> {
  const args = [relay.httpUrl, specPath(SDK_KEY, NEWEST), String(probingMs)];
  await using client = new ClientProcess(bench, "prepare/probe-client.ts", args);
  const { samples } = await client.next<Probing>(probingMs + START_MS);
  return samples.map(([, latencyMs]) => latencyMs);
}

const useOf = (pid: number): Use => ({ bytes: residentBytes(pid), descriptors: openDescriptors(pid) });
