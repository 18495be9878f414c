import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import type { TLSSocket } from "node:tls";
import {
  createHttp2Server,
  type Http2Counts,
  type Http2Limits,
  type LimitedServer,
} from "../server/http2-server.ts";
import type { EmitLimitEvent } from "../server/limits.ts";
import { type ListenAddress, listen } from "../server/ports.ts";
import type { ServerTls } from "../server/tls.ts";
import type { HttpHandler } from "./handler.ts";
import { Http1Server } from "./http1/server.ts";
import { tlsTransport } from "./http1/transport.ts";
import { Http2Exchange, sendHttp2Response, toWebRequest } from "./http2-exchange.ts";
import { RESPONSE_MARGIN_MS } from "./request-body.ts";
import { errorResponse, INVALID_REQUEST } from "./responses.ts";

interface HttpsListenerOptions extends ListenAddress {
  readonly tls: ServerTls;
  readonly handler: HttpHandler;
  readonly limits: Http2Limits;
  readonly counts: Http2Counts;
  readonly idleTimeoutMs: number;
  readonly emitLimit: EmitLimitEvent;
}

/** HTTP/2 and HTTP/1.1 over TLS, on `node:http2`. Bun.serve can neither replace a certificate nor inspect the client's. */
export class HttpsListener {
  readonly #options: HttpsListenerOptions;
  readonly #limited: LimitedServer;
  readonly #http1: Http1Server;
  readonly #idle = Promise.withResolvers<void>();
  #inFlight = 0;
  #isClosing = false;

  private constructor(options: HttpsListenerOptions) {
    this.#options = options;
    const { tls, handler, limits, counts, idleTimeoutMs, emitLimit: emit } = options;
    const { maxHeaderBytes, headerTimeoutMs } = limits;
    const http1 = { maxHeaderBytes, headerTimeoutMs, idleTimeoutMs, emit };
    this.#http1 = new Http1Server({ scheme: "https", handler, ...http1 });
    this.#limited = createHttp2Server({
      tls,
      onHttp1: (socket) => this.#openHttp1(socket),
      // The reader of the body responds to a late body; this is for bodies without a reader.
      limits: { ...limits, bodyTimeoutMs: limits.bodyTimeoutMs + RESPONSE_MARGIN_MS },
      ...{ counts, idleTimeoutMs, emit },
      onRequest: (request, response) => void this.#serve(request, response),
    });
  }

  /** Rejects with the system error if the port cannot be opened. */
  static async listen(options: HttpsListenerOptions): Promise<HttpsListener> {
    const listener = new HttpsListener(options);
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

  /** Stops accepting connections. Resolves when requests in flight have their responses, and these are sent. */
  async close(): Promise<void> {
    const { server, sessions, requests, connections } = this.#limited;
    this.#isClosing = true;
    (server as Http2SecureServer).close();
    requests.resetAll();
    // GOAWAY: clients send their next request elsewhere.
    for (const session of sessions.keys()) session.close();
    // Streams that have arrived become requests one turn later.
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([this.#inFlight > 0 ? this.#idle.promise : undefined, this.#http1.drain()]);
    await connections.endAll();
  }

  /** Cuts every connection. */
  abort(): void {
    for (const session of this.#limited.sessions.keys()) session.destroy();
    this.#limited.connections.cutAll();
    this.#http1[Symbol.dispose]();
  }

  #openHttp1(socket: TLSSocket): void {
    const connection = this.#http1.open(tlsTransport(socket));
    socket.on("data", (bytes: Buffer) => connection.received(bytes));
    socket.on("drain", () => connection.drained());
    socket.on("end", () => connection.peerEnded());
    // `close` follows.
    socket.on("error", () => {});
    socket.once("close", () => this.#http1.closed(connection));
  }

  async #serve(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    this.#inFlight++;
    using exchange = new Http2Exchange(request, response);
    try {
      const handled = await exchange.untilGone(this.#handle(request, exchange));
      exchange.responding();
      const isHead = request.method === "HEAD";
      await exchange.untilGone(sendHttp2Response(handled, response, { isHead, exchange }));
      await exchange.untilGone(exchange.sent());
    } catch {
      // The client has gone.
      exchange.cut();
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0 && this.#isClosing) this.#idle.resolve();
    }
  }

  #handle(request: Http2ServerRequest, exchange: Http2Exchange): Response | Promise<Response> {
    const { handler, emitLimit } = this.#options;
    if (Number(request.headers["content-length"] ?? 0) > handler.maxBodyBytes) {
      emitLimit({ kind: "limit_reached", limit: "max-request-body-in-mb" });
      return errorResponse(413);
    }
    let webRequest: Request;
    try {
      webRequest = toWebRequest(request, exchange);
    } catch {
      return errorResponse(400, { message: INVALID_REQUEST });
    }
    return handler.handle(webRequest, exchange);
  }
}
