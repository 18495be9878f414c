import { Http1Connection, type Http1Options } from "./connection.ts";
import { ParserPool } from "./parser.ts";
import type { ByteTransport } from "./transport.ts";

/** How often the deadlines of connections are checked. */
const CHECK_EVERY_MS = 250;

interface Http1ServerOptions extends Omit<Http1Options, "parsers"> {
  readonly maxHeaderBytes: number;
}

/** The HTTP/1.1 connections of one port, plaintext or TLS. */
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

  /** Adds a connection. The owner of the transport must forward its events to the connection, and call {@link closed}. */
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

  /** Ends the connections. Resolves when all requests received have their responses. */
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
