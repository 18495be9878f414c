import type { StatusReport } from "../../src/telemetry/status/schema.ts";
import type { Bench } from "../bench.ts";
import { freePort } from "../loopback.ts";
import type { RelayProgram } from "../relay-program.ts";
import { type RelayPorts, RelayServer } from "../relay-server.ts";
import { type StaticUpstream, specPath } from "../static-upstream.ts";

interface StreamRelayOptions {
  readonly program?: RelayProgram;
  readonly upstream: StaticUpstream;
  readonly args?: readonly string[];
  readonly pollIntervalS?: number;
  readonly ports?: RelayPorts;
  /** A key that is cached before the relay is used. */
  readonly warmKey?: string;
}

/** A relay for up to 20,000 streams, which says how many are open. */
export class StreamRelay implements AsyncDisposable {
  readonly relay: RelayServer;
  readonly #managementPort: number;

  private constructor(relay: RelayServer, managementPort: number) {
    this.relay = relay;
    this.#managementPort = managementPort;
  }

  static async start(
    bench: Bench,
    { args = [], warmKey, ...options }: StreamRelayOptions,
  ): Promise<StreamRelay> {
    const managementPort = await freePort();
    const limits = ["--grpc-max-concurrent-streams", "20000", ...args];
    const relayOptions = { ...options, managementPort, cores: bench.cores?.server, args: limits };
    const ready = warmKey === undefined ? "/v1/health" : specPath(warmKey);
    return new StreamRelay(await RelayServer.start(bench, relayOptions, ready), managementPort);
  }

  /** The open streams, as `/status.json` shows them, and the sum of those of all feeds. */
  async openStreams(): Promise<{ readonly all: number; readonly ofFeeds: number }> {
    const response = await fetch(`http://127.0.0.1:${this.#managementPort}/status.json`);
    const { traffic, feeds } = (await response.json()) as StatusReport;
    return { all: traffic.streams, ofFeeds: feeds.reduce((sum, { streams }) => sum + streams, 0) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.relay[Symbol.asyncDispose]();
  }
}
