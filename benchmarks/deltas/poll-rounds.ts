import type { Bench } from "../bench.ts";
import { ClientProcess } from "../client-process.ts";
import { asIndependentClients, type Probing } from "../prepare/probing.ts";
import { cpuSince, cpuTime, peakResidentBytes, resetPeak, residentBytes } from "../proc-stats.ts";
import { specPath } from "../static-upstream.ts";
import { type DeltaRelay, NEWEST } from "./delta-relay.ts";
import type { PolledRound, PollRound } from "./polling.ts";

export const POLLERS = 1_000;
export const POLL_INTERVAL_MS = 10_000;

/** A feed without updates. */
export const OTHER_KEY = "secret-bench-other";

/** Fewer than usual: their CPU time is part of the round's. */
const OTHER_PAUSE_MS = 10;
const ROUND_TIMEOUT_MS = 6 * POLL_INTERVAL_MS;

/** One version, from its publication until every poller has it; or one poll of each without a new version. */
export interface UpdateRound extends PolledRound {
  readonly fullBytes: number;
  /** CPU time of the relay. */
  readonly cpuMs: number;
  /** Resident memory of the relay: before, and the highest. */
  readonly restingBytes: number;
  readonly peakBytes: number;
  /** Latencies of requests for another feed. */
  readonly otherMs: readonly number[];
}

/** A thousand clients of a relay that poll its large feed. */
export class Pollers implements AsyncDisposable {
  readonly #bench: Bench;
  readonly #relay: DeltaRelay;
  readonly #client: ClientProcess;

  private constructor(bench: Bench, relay: DeltaRelay) {
    this.#bench = bench;
    this.#relay = relay;
    const args = [relay.server.httpUrl, relay.sdkKey, String(POLLERS)];
    this.#client = new ClientProcess(bench, "deltas/poll-client.ts", args);
  }

  /** Resolves when all of them have the newest version. */
  static async start(bench: Bench, relay: DeltaRelay): Promise<Pollers> {
    const pollers = new Pollers(bench, relay);
    try {
      await pollers.#poll(false);
      return pollers;
    } catch (error) {
      await pollers[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Publishes a version and resolves when all of them have it. */
  async update(acceptDeltas: boolean): Promise<UpdateRound> {
    this.#relay.publish();
    return this.pollOnce(acceptDeltas);
  }

  /** Resolves when all of them have polled once and have the newest version. */
  async pollOnce(acceptDeltas: boolean): Promise<UpdateRound> {
    const { pid, httpUrl } = this.#relay.server;
    const probeArgs = [httpUrl, specPath(OTHER_KEY, NEWEST), POLL_INTERVAL_MS, OTHER_PAUSE_MS].map(String);
    await using probe = new ClientProcess(this.#bench, "prepare/probe-client.ts", probeArgs);
    resetPeak(pid);
    const restingBytes = residentBytes(pid);
    const before = cpuTime(pid);
    const polled = await this.#poll(acceptDeltas);
    const { processMs: cpuMs } = cpuSince(pid, before);
    const peakBytes = peakResidentBytes(pid);
    const { samples } = await probe.next<Probing>(ROUND_TIMEOUT_MS);
    const otherMs = samples.map(([, latency]) => latency);
    return {
      ...polled,
      fullBytes: this.#relay.newest.statsigBr.length,
      cpuMs,
      restingBytes,
      peakBytes,
      otherMs: asIndependentClients(otherMs, OTHER_PAUSE_MS),
    };
  }

  async #poll(acceptDeltas: boolean): Promise<PolledRound> {
    const { lcut, checksum } = this.#relay.newest;
    const round: PollRound = { lcut, checksum, acceptDeltas, intervalMs: POLL_INTERVAL_MS };
    this.#client.send(round);
    return this.#client.next<PolledRound>(ROUND_TIMEOUT_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }
}
