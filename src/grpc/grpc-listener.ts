import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { CONNECT_OPTIONS } from "./connect-options.ts";
import { useSharedFrames } from "./framed-handlers.ts";
import { type RpcRoutes, shuttingDown } from "./routes.ts";
import type { SpecService } from "./spec-service.ts";

export interface GrpcListenerOptions {
  readonly bindAddress: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly maxStreamsPerConnection: number;
  readonly routes: RpcRoutes;
  readonly specService: SpecService;
}

/** How long streams get to send their last status before connections are cut. */
const STATUS_FLUSH_MS = 300;

/** A connection that has been silent for so long is dead: SDKs ping every 30 s. */
const SILENT_CONNECTION_MS = 5 * 60_000;

/** gRPC, gRPC-Web and Connect over HTTP/2 in plaintext. */
export class GrpcListener {
  readonly #server: http2.Http2Server;
  readonly #sessions = new Set<http2.ServerHttp2Session>();
  readonly #shutdown = new AbortController();
  readonly #idle = Promise.withResolvers<void>();
  #openStreams = 0;

  private constructor(options: GrpcListenerOptions) {
    const handler = connectNodeAdapter({
      ...CONNECT_OPTIONS,
      shutdownSignal: this.#shutdown.signal,
      routes: (router) => {
        options.routes(router);
        useSharedFrames(router, options.specService, this.#shutdown.signal);
      },
    });
    this.#server = http2.createServer(
      { settings: { maxConcurrentStreams: options.maxStreamsPerConnection } },
      handler,
    );
    this.#server.on("session", (session) => this.#keep(session));
    this.#server.on("stream", (stream) => this.#count(stream));
  }

  /** Rejects with the system's error where the port can't be had. */
  static async listen(options: GrpcListenerOptions): Promise<GrpcListener> {
    const listener = new GrpcListener(options);
    const server = listener.#server;
    const listening = Promise.withResolvers<void>();
    server.once("error", listening.reject);
    server.listen(options.port, options.bindAddress, listening.resolve);
    await listening.promise;
    server.off("error", listening.reject);
    return listener;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /**
   * Takes no more connections, ends streams with UNAVAILABLE, so that clients go elsewhere, and waits for
   * calls in flight.
   */
  async close(): Promise<void> {
    this.#server.close();
    this.#shutdown.abort(shuttingDown());
    if (this.#openStreams > 0) await this.#idle.promise;
    // node:http2 does not tell when the last frames are out; to destroy sooner would lose the status.
    await new Promise((resolve) => setTimeout(resolve, STATUS_FLUSH_MS));
    this.abort();
  }

  /** Cuts every connection. */
  abort(): void {
    for (const session of this.#sessions) session.destroy();
  }

  #count(stream: http2.Http2Stream): void {
    this.#openStreams++;
    stream.once("close", () => {
      this.#openStreams--;
      if (this.#openStreams === 0 && this.#shutdown.signal.aborted) this.#idle.resolve();
    });
  }

  #keep(session: http2.ServerHttp2Session): void {
    this.#sessions.add(session);
    session.on("close", () => this.#sessions.delete(session));
    // A connection that breaks is the client's business; without a listener it would end the process.
    session.on("error", () => {});
    session.setTimeout(SILENT_CONNECTION_MS, () => session.close());
  }
}
