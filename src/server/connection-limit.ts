import { once } from "node:events";
import type { Server, Socket } from "node:net";
import type { SharedCount } from "../platform/shared-count.ts";
import { socketProgress } from "../platform/tcp-connection.ts";
import type { EmitLimitEvent } from "./limits.ts";

interface ConnectionLimitOptions {
  /** The limit of the port. */
  readonly maxConnections: number;
  /** Counts the open connections of the port over all threads. */
  readonly count: SharedCount;
  readonly emit: EmitLimitEvent;
}

/** HTTP/2 does not report when its last frames are sent: this many checks in a row must find nothing unsent. */
const IDLE_CHECKS = 4;
const CHECK_EVERY_MS = 75;

/** Limits the connections of a port of `node:` servers, and cuts those of this thread's that miss a deadline. */
export class ConnectionLimit {
  readonly #options: ConnectionLimitOptions;
  /** The open connections, each with the socket by which it is ended: with TLS, the one that says so to the client. */
  readonly #open = new Map<Socket, Socket>();
  readonly #deadlines = new Map<Socket, NodeJS.Timeout>();

  constructor(server: Server, options: ConnectionLimitOptions) {
    this.#options = options;
    server.on("connection", (socket: Socket) => this.#accept(socket));
  }

  /**
   * Cuts the connection unless {@link arrived} is called in time. The socket's own timeout would be extended by each byte.
   */
  expectWithin(socket: Socket, ms: number, onLate?: () => void): void {
    this.arrived(socket);
    if (!this.#open.has(socket)) return;
    const cut = () => {
      this.#deadlines.delete(socket);
      onLate?.();
      socket.destroy();
    };
    this.#deadlines.set(socket, setTimeout(cut, ms).unref());
  }

  /** The client has met its deadline. */
  arrived(socket: Socket): void {
    clearTimeout(this.#deadlines.get(socket));
    this.#deadlines.delete(socket);
  }

  /** The TLS handshake of a connection is over. */
  secured(socket: Socket, tls: Socket): void {
    if (this.#open.has(socket)) this.#open.set(socket, tls);
  }

  /**
   * Resolves when clients have received everything that was written, as far as the system reports it, and a short time has
   * passed.
   */
  async flushed(): Promise<void> {
    for (let checks = 0; checks < IDLE_CHECKS; checks++) {
      await new Promise((resolve) => setTimeout(resolve, CHECK_EVERY_MS));
      const isUnsent = [...this.#open.keys()].some(
        (socket) => (socketProgress(socket)?.queuedBytes ?? 0) > 0,
      );
      if (isUnsent) checks = 0;
    }
  }

  cutAll(): void {
    for (const socket of this.#open.keys()) socket.destroy();
  }

  /** Ends every connection after what was written is sent. Resolves when all are closed. */
  async endAll(): Promise<void> {
    const closed = [...this.#open.keys()].map((socket) => once(socket, "close").catch(() => {}));
    for (const socket of this.#open.values()) socket.end();
    await Promise.all(closed);
  }

  #accept(socket: Socket): void {
    const { maxConnections, count, emit } = this.#options;
    if (!count.tryAdd(1, maxConnections)) {
      emit({ kind: "limit_reached", limit: "max-connections" });
      socket.destroy();
      return;
    }
    this.#open.set(socket, socket);
    socket.once("close", () => {
      this.arrived(socket);
      this.#open.delete(socket);
      count.subtract(1);
    });
  }
}
