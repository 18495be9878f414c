import type { Bench } from "./bench.ts";
import type { CoreList } from "./cores.ts";
import { Launched } from "./launched.ts";
import { firstAnswer, freePort } from "./loopback.ts";
import type { RelayProgram } from "./relay-program.ts";
import type { StaticUpstream } from "./static-upstream.ts";

export interface RelayServerOptions {
  /** Default: the relay of the bench. */
  readonly program?: RelayProgram;
  readonly upstream: StaticUpstream;
  readonly cores: CoreList;
  /** Default: an hour, so that no poll disturbs a measurement. */
  readonly pollIntervalS?: number;
  readonly args?: readonly string[];
  /** Backup of the relay. Default: disabled. */
  readonly cache?: "disabled" | "redis";
  readonly env?: Readonly<Record<string, string>>;
  /** Default: 0, no management port. */
  readonly managementPort?: number;
  /** Those of a relay that has ended, to replace it. Default: free ones. */
  readonly ports?: RelayPorts;
}

export interface RelayPorts {
  readonly http: number;
  readonly grpc: number;
}

/** A running relay. */
export class RelayServer implements AsyncDisposable {
  readonly #process: Launched;
  readonly httpUrl: string;
  readonly grpcUrl: string;
  /** Time from the spawn to the first response. */
  readonly startMs: number;
  readonly ports: RelayPorts;

  private constructor(launched: Launched, ports: RelayPorts, startMs: number) {
    this.#process = launched;
    this.ports = ports;
    this.httpUrl = `http://127.0.0.1:${ports.http}`;
    this.grpcUrl = `http://127.0.0.1:${ports.grpc}`;
    this.startMs = startMs;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Resolves once `readyPath` (default: /v1/health) returns 200. */
  static async start(
    bench: Bench,
    options: RelayServerOptions,
    readyPath = "/v1/health",
  ): Promise<RelayServer> {
    const ports = options.ports ?? { http: await freePort(), grpc: await freePort() };
    const { upstream, cores, pollIntervalS = 3_600, args = [], cache = "disabled", env = {} } = options;
    const { managementPort = 0, program = bench.relay } = options;
    const listen = [
      "--bind-address",
      "127.0.0.1",
      "--http-port",
      `${ports.http}`,
      "--grpc-port",
      `${ports.grpc}`,
      "--management-port",
      `${managementPort}`,
    ];
    const startedAt = performance.now();
    const launched = new Launched(bench, {
      name: "relay",
      command: [
        ...program.command,
        ...listen,
        "--polling-interval-in-s",
        String(pollIntervalS),
        ...args,
        "grpc-and-http",
        cache,
      ],
      cores,
      env: { STATSIG_ENDPOINT: upstream.url, ...env },
    });
    try {
      const answeredAt = await firstAnswer(bench, launched, `http://127.0.0.1:${ports.http}${readyPath}`, 1);
      return new RelayServer(launched, ports, answeredAt - startedAt);
    } catch (error) {
      await launched[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Ends it without a chance to close connections. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}
