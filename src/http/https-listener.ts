import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import type { TLSSocket } from "node:tls";
import {
  createHttp2Server,
  type Http2Limits,
  type LimitedServer,
  listening,
} from "../server/http2-server.ts";
import type { EmitLimitEvent } from "../server/limits.ts";
import type { ServerTls } from "../server/tls.ts";
import type { HttpHandler } from "./handler.ts";
import { Http1Server, tlsTransport } from "./http1/server.ts";
import { Http2Exchange, sendHttp2Response, toWebRequest } from "./http2-exchange.ts";
import { RESPONSE_MARGIN_MS } from "./request-body.ts";
import { errorResponse } from "./responses.ts";

interface HttpsListenerOptions {
  readonly bindAddress: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly tls: ServerTls;
  readonly answers: HttpHandler;
  readonly limits: Http2Limits;
  readonly idleTimeoutMs: number;
  readonly emitLimit: EmitLimitEvent;
}

/**
 * HTTP/2 and HTTP/1.1 over TLS. By `node:http2` and not Bun.serve, which can neither take over a new certificate nor
 * look at a client's.
 */
export class HttpsListener {
  readonly #options: HttpsListenerOptions;
  readonly #limited: LimitedServer;
  readonly #http1: Http1Server;
  readonly #idle = Promise.withResolvers<void>();
  #inFlight = 0;
  #isClosing = false;

  private constructor(options: HttpsListenerOptions) {
    this.#options = options;
    const { tls, answers, limits, idleTimeoutMs, emitLimit: emit } = options;
    const { maxHeaderBytes, headerTimeoutMs } = limits;
    const http1 = { maxHeaderBytes, headerTimeoutMs, idleTimeoutMs, emit };
    this.#http1 = new Http1Server({ scheme: "https", handler: answers, ...http1 });
    this.#limited = createHttp2Server({
      tls,
      onHttp1: (socket) => this.#openHttp1(socket),
      // A body that comes too late is answered by its reader, unless it has none.
      limits: { ...limits, bodyTimeoutMs: limits.bodyTimeoutMs + RESPONSE_MARGIN_MS },
      idleTimeoutMs,
      emit,
      onRequest: (request, response) => void this.#serve(request, response),
    });
  }

  /** Rejects with the system's error where the port can't be had. */
  static async listen(options: HttpsListenerOptions): Promise<HttpsListener> {
    const listener = new HttpsListener(options);
    await listening(listener.#limited.server as Server, options.port, options.bindAddress);
    return listener;
  }

  get port(): number {
    return (this.#limited.server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#limited.connections.open;
  }

  /** Takes no more connections, waits until what is in flight is answered and sent. */
  async close(): Promise<void> {
    const { server, sessions, requests, connections } = this.#limited;
    this.#isClosing = true;
    (server as Http2SecureServer).close();
    requests.resetAll();
    // Tells clients to take their next request elsewhere.
    for (const session of sessions) session.close();
    // Of what has come, requests are made a turn later.
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([this.#inFlight > 0 ? this.#idle.promise : undefined, this.#http1.drain()]);
    await connections.endAll();
  }

  /** Cuts every connection. */
  abort(): void {
    for (const session of this.#limited.sessions) session.destroy();
    this.#limited.connections.cutAll();
    this.#http1[Symbol.dispose]();
  }

  #openHttp1(socket: TLSSocket): void {
    const connection = this.#http1.open(tlsTransport(socket));
    socket.on("data", (bytes: Buffer) => connection.received(bytes));
    socket.on("drain", () => connection.drained());
    socket.on("end", () => connection.peerEnded());
    // The connection closes after it.
    socket.on("error", () => {});
    socket.once("close", () => this.#http1.closed(connection));
  }

  async #serve(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    this.#inFlight++;
    using exchange = new Http2Exchange(request, response);
    try {
      const answered = await exchange.unlessGone(this.#answer(request, exchange));
      const isHead = request.method === "HEAD";
      await exchange.unlessGone(sendHttp2Response(answered, response, { isHead, exchange }));
      await exchange.unlessGone(exchange.sent());
    } catch {
      // The client went while it was answered.
      exchange.cut();
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0 && this.#isClosing) this.#idle.resolve();
    }
  }

  #answer(request: Http2ServerRequest, exchange: Http2Exchange): Response | Promise<Response> {
    const { answers, emitLimit } = this.#options;
    if (Number(request.headers["content-length"] ?? 0) > answers.maxBodyBytes) {
      emitLimit({ kind: "limit_reached", limit: "max-request-body-in-mb" });
      return errorResponse(413);
    }
    let standard: Request;
    try {
      standard = toWebRequest(request, exchange);
    } catch {
      return errorResponse(400);
    }
    return answers.answer(standard, exchange);
  }
}
