import type http2 from "node:http2";
import type { AddressInfo, Server } from "node:net";
import type { ContextValues } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { type ConnectionAge, ConnectionAges } from "../server/connection-age.ts";
import {
  createHttp2Server,
  type Http2Counts,
  type Http2Limits,
  type LimitedServer,
} from "../server/http2-server.ts";
import { LASTING_STREAM } from "../server/http2-streams.ts";
import type { EmitLimitEvent } from "../server/limits.ts";
import { type ListenAddress, listen } from "../server/ports.ts";
import type { ServerTls } from "../server/tls.ts";
import { StatusError, shuttingDown } from "../streams/status-error.ts";
import { PlainGrpc } from "./plain-grpc.ts";
import { CONNECT_OPTIONS, type RpcRoutes, shutdownError } from "./routes.ts";
import type { SpecService } from "./spec-service.ts";
import { withEnding } from "./stream-ending.ts";

interface GrpcListenerOptions extends ListenAddress {
  /** Undefined for plaintext. */
  readonly tls: ServerTls | undefined;
  readonly limits: Http2Limits;
  readonly counts: Http2Counts;
  /** How long a connection may have no open stream. SDKs hold one open all the time. */
  readonly idleTimeoutMs: number;
  readonly emitLimit: EmitLimitEvent;
  readonly routes: RpcRoutes;
  readonly specService: SpecService;
}

const OLD_CONNECTION = "The connection has reached its maximum age";

/** Serves gRPC, gRPC-Web and Connect over HTTP/2. */
export class GrpcListener {
  readonly #options: GrpcListenerOptions;
  readonly #limited: LimitedServer;
  readonly #plain: PlainGrpc;
  readonly #ages = new ConnectionAges((stream) => this.#endOfOldConnection(stream));
  /** What ends the streams that Connect serves. */
  readonly #endings = new WeakMap<http2.ServerHttp2Stream, AbortController>();
  readonly #shutdown = new AbortController();
  readonly #idle = Promise.withResolvers<void>();
  #openStreams = 0;

  private constructor(options: GrpcListenerOptions) {
    this.#options = options;
    const { tls, limits, counts, idleTimeoutMs, emitLimit: emit } = options;
    const { unreadTimeoutMs } = limits;
    this.#plain = new PlainGrpc({
      service: options.specService,
      unreadTimeoutMs,
    });
    const { routes } = options;
    this.#limited = createHttp2Server({
      ...{ tls, limits, counts, idleTimeoutMs, emit },
      acceptStream: (stream, headers) => this.#plain.accept(stream, headers),
      onRequest: connectNodeAdapter({
        ...{ ...CONNECT_OPTIONS, shutdownSignal: this.#shutdown.signal, routes },
        contextValues: (request) => this.#addEnding(request as http2.Http2ServerRequest),
      }),
    });
    this.#limited.server.on("session", (session: http2.ServerHttp2Session) => {
      const socket = this.#limited.sessions.get(session);
      const openStreams = this.#countStreams(session);
      if (socket !== undefined) this.#ages.watch({ session, socket, openStreams });
    });
  }

  /** Rejects with the system error if the port cannot be opened. */
  static async listen(options: GrpcListenerOptions): Promise<GrpcListener> {
    const listener = new GrpcListener(options);
    await listen(listener.#limited.server as Server, options);
    return listener;
  }

  get port(): number {
    return (this.#limited.server.address() as AddressInfo).port;
  }

  /** The open connections of the port, of all threads. */
  get connections(): number {
    return this.#options.counts.connections.value;
  }

  /** By default, connections may become as old as they like. */
  setConnectionAge(age: ConnectionAge): void {
    this.#ages.set(age);
  }

  /**
   * Stops accepting connections, and ends streams with UNAVAILABLE so that clients go to another replica. Resolves when no
   * call is in flight.
   */
  async close(): Promise<void> {
    this.#limited.server.close();
    this.#plain.endStreams(shuttingDown());
    this.#shutdown.abort(shutdownError());
    this.#limited.requests.resetAll();
    if (this.#openStreams > 0) await this.#idle.promise;
    await this.#limited.connections.flushed();
    this.abort();
  }

  /** Cuts every connection. */
  abort(): void {
    for (const session of this.#limited.sessions.keys()) session.destroy();
    this.#limited.connections.cutAll();
  }

  /** A stream with malformed frames may never close. It is counted out at the latest when its connection closes. */
  #countStreams(session: http2.ServerHttp2Session): ReadonlySet<http2.ServerHttp2Stream> {
    const open = new Set<http2.ServerHttp2Stream>();
    const ended = (streams: Iterable<http2.ServerHttp2Stream>) => {
      for (const stream of streams) if (open.delete(stream)) this.#openStreams--;
      if (this.#openStreams === 0 && this.#shutdown.signal.aborted) this.#idle.resolve();
    };
    session.on(LASTING_STREAM, (stream: http2.ServerHttp2Stream) => {
      open.add(stream);
      this.#openStreams++;
      stream.once("close", () => ended([stream]));
    });
    session.once("close", () => ended([...open]));
    return open;
  }

  /** Makes what ends a stream that Connect serves. */
  #addEnding({ stream }: http2.Http2ServerRequest): ContextValues {
    const ending = new AbortController();
    this.#endings.set(stream, ending);
    return withEnding(ending.signal);
  }

  #endOfOldConnection(stream: http2.ServerHttp2Stream): void {
    const reason = new StatusError("unavailable", OLD_CONNECTION);
    this.#plain.endStream(stream, reason);
    this.#endings.get(stream)?.abort(reason);
  }
}
