import type { TLSSocket } from "node:tls";
import { socketDescriptor, tcpProgress } from "../../platform/tcp-connection.ts";
import { Http1Connection, type Http1Options } from "./connection.ts";
import { ParserPool } from "./parser.ts";
import type { ByteTransport } from "./response.ts";

/** How often connections are looked at whose time may be over. */
const CHECK_EVERY_MS = 250;

interface Http1ServerOptions extends Omit<Http1Options, "parsers"> {
  readonly maxHeaderBytes: number;
}

/** The connections of HTTP/1.1 on one port, whatever they come by. */
export class Http1Server implements Disposable {
  readonly #options: Http1Options;
  readonly #open = new Set<Http1Connection>();
  readonly #checking: NodeJS.Timeout;
  readonly #drained = Promise.withResolvers<void>();
  #isDraining = false;

  constructor({ maxHeaderBytes, ...options }: Http1ServerOptions) {
    this.#options = { ...options, parsers: new ParserPool(maxHeaderBytes) };
    this.#checking = setInterval(() => this.#check(), CHECK_EVERY_MS).unref();
  }

  get connections(): number {
    return this.#open.size;
  }

  /** The transport's owner calls what the connection has for each of its events. */
  open(transport: ByteTransport): Http1Connection {
    const connection = new Http1Connection(transport, this.#options);
    this.#open.add(connection);
    if (this.#isDraining) connection.drain();
    return connection;
  }

  closed(connection: Http1Connection): void {
    connection.closed();
    this.#open.delete(connection);
    this.#resolveIfDrained();
  }

  /** Ends connections; resolves when all requests that have come are answered. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    for (const connection of this.#open) connection.drain();
    this.#resolveIfDrained();
    await this.#drained.promise;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#checking);
  }

  #check(): void {
    const nowMs = performance.now();
    for (const connection of this.#open) connection.checkDeadline(nowMs);
    this.#resolveIfDrained();
  }

  #resolveIfDrained(): void {
    if (!this.#isDraining) return;
    for (const connection of this.#open) if (connection.isBusy) return;
    this.#drained.resolve();
  }
}

/** What is given to TLS at a time: it keeps all that it is given. */
const SLICE_BYTES = 64 * 1024;

/** A connection over TLS, which takes the next bytes when those that it has are sent. */
export function tlsTransport(socket: TLSSocket): ByteTransport {
  return {
    copies: false,
    write: (bytes) => {
      if (socket.writableNeedDrain || socket.writableEnded) return 0;
      const slice = bytes.subarray(0, SLICE_BYTES);
      socket.write(slice);
      return slice.length;
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    unsentBytes: () => socket.writableLength + (tcpProgress(socketDescriptor(socket))?.queuedBytes ?? 0),
    shutdown: () => void socket.end(),
    close: () => void socket.destroy(),
    destroy: () => void socket.destroy(),
  };
}
