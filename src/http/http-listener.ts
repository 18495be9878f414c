import { countUnsent, listenTcp, tuneTcp } from "#runtime/tcp.ts";
import type { TcpListener, TcpSocket } from "../platform/runtime/tcp.ts";
import type { SharedCount } from "../platform/shared-count.ts";
import { clientAddressOf } from "../platform/tcp-connection.ts";
import type { EmitLimitEvent } from "../server/limits.ts";
import type { ListenAddress } from "../server/ports.ts";
import type { Http1Connection, Http1Handler } from "./http1/connection.ts";
import { Http1Server } from "./http1/server.ts";
import type { ByteTransport } from "./http1/transport.ts";

interface HttpListenerOptions extends ListenAddress {
  readonly handler: Http1Handler;
  /** The limit of the port. */
  readonly maxConnections: number;
  /** Counts the open connections of the port over all threads. */
  readonly connections: SharedCount;
  readonly maxHeaderBytes: number;
  readonly headerTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** How long a client may leave sent bytes unread. */
  readonly unreadTimeoutMs: number;
  readonly emitLimit: EmitLimitEvent;
}

type Socket = TcpSocket<Http1Connection | undefined>;

/** TCP keep-alive finds clients whose machine vanished. */
const TCP_KEEP_ALIVE_AFTER_MS = 30_000;

/**
 * HTTP/1.1 without TLS, on the sockets of the runtime. On Bun this is a quarter faster than Bun.serve, which also closes a connection if a
 * request is pipelined behind a slow one, and rejects trailers.
 */
export class HttpListener {
  readonly #options: HttpListenerOptions;
  readonly #server: Http1Server;
  readonly #listener: TcpListener;
  readonly #sockets = new Set<Socket>();

  /** Throws the system error if the port cannot be opened. */
  constructor(options: HttpListenerOptions) {
    this.#options = options;
    const { handler, maxHeaderBytes, headerTimeoutMs, idleTimeoutMs, emitLimit: emit } = options;
    this.#server = new Http1Server({
      scheme: "http",
      ...{ handler, maxHeaderBytes, headerTimeoutMs, idleTimeoutMs, emit },
    });
    this.#listener = this.#listen();
  }

  get port(): number {
    return this.#listener.port;
  }

  /** The open connections of the port, of all threads. */
  get connections(): number {
    return this.#options.connections.value;
  }

  /** Stops accepting connections. Resolves when requests in flight have their responses, and clients have received them. */
  async close(): Promise<void> {
    this.#listener.stop();
    await this.#server.drain();
  }

  /** Cuts every connection. */
  abort(): void {
    this.#listener.stop(true);
    for (const socket of this.#sockets) socket.terminate();
    this.#server[Symbol.dispose]();
  }

  #listen(): TcpListener {
    const { bindAddress: hostname, port, reusePort } = this.#options;
    return listenTcp<Http1Connection>({
      ...{ hostname, port, reusePort },
      handlers: {
        open: (socket) => this.#open(socket),
        data: (socket, bytes) => socket.data?.received(bytes),
        drain: (socket) => socket.data?.drained(),
        end: (socket) => socket.data?.peerEnded(),
        close: (socket) => this.#closed(socket),
      },
    });
  }

  #open(socket: Socket): void {
    const { maxConnections, connections, unreadTimeoutMs, emitLimit } = this.#options;
    if (!connections.tryAdd(1, maxConnections)) {
      emitLimit({ kind: "limit_reached", limit: "max-connections" });
      socket.terminate();
      return;
    }
    this.#sockets.add(socket);
    tuneTcp(socket, { keepAliveAfterMs: TCP_KEEP_ALIVE_AFTER_MS, unreadTimeoutMs });
    socket.data = this.#server.open(new TcpTransport(socket));
  }

  #closed(socket: Socket): void {
    if (this.#sockets.delete(socket)) this.#options.connections.subtract(1);
    if (socket.data !== undefined) this.#server.closed(socket.data);
    socket.data = undefined;
  }
}

class TcpTransport implements ByteTransport {
  readonly copies = true;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get clientAddress(): string {
    return clientAddressOf(this.#socket);
  }

  get localPort(): number {
    return this.#socket.localPort;
  }

  write(bytes: Uint8Array): number {
    const taken = this.#socket.write(bytes);
    if (taken >= 0) return taken;
    // The client reset the connection. If reading is paused, Bun reports it nowhere else and never closes the socket.
    setImmediate(() => this.#socket.terminate());
    return 0;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  unsentBytes(): number {
    return countUnsent(this.#socket);
  }

  shutdown(): void {
    this.#socket.shutdown();
  }

  close(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.terminate();
  }
}
