import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import type { TLSSocket } from "node:tls";
import type { EmitLimitEvent } from "../limits/events.ts";
import {
  createHttp2Server,
  type Http2Limits,
  type LimitedServer,
  listening,
} from "../limits/http2-server.ts";
import type { ServerTls } from "../tls/server-tls.ts";
import type { HttpAnswers } from "./http-answers.ts";
import { NodeExchange } from "./node-exchange.ts";
import { headerCount, webRequestOf } from "./node-request.ts";
import { sendResponse } from "./node-response.ts";
import { errorResponse } from "./status-json.ts";

export interface HttpsListenerOptions {
  readonly bindAddress: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly tls: ServerTls;
  readonly answers: HttpAnswers;
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
  readonly #idle = Promise.withResolvers<void>();
  #inFlight = 0;
  #isClosing = false;

  private constructor(options: HttpsListenerOptions) {
    this.#options = options;
    const { tls, limits, idleTimeoutMs, emitLimit: emit } = options;
    this.#limited = createHttp2Server({
      tls,
      allowHTTP1: true,
      limits,
      idleTimeoutMs,
      emit,
      onRequest: (request, response) => void this.#serve(request, response),
    });
    const server = this.#limited.server as Http2SecureServer;
    server.on("secureConnection", (socket: TLSSocket) => {
      if (socket.alpnProtocol === "h2") return;
      this.#limited.connections.expectWithin(socket, limits.headerTimeoutMs, () =>
        emit({ kind: "limit_reached", limit: "header-timeout-in-s" }),
      );
    });
    // Told to clients of HTTP/1.1; the deadlines are ours.
    Object.assign(server, { keepAliveTimeout: idleTimeoutMs });
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

  /** Takes no more connections, ends streams, waits until what is in flight is answered and sent. */
  async close(): Promise<void> {
    const { server, sessions, requests, connections } = this.#limited;
    this.#isClosing = true;
    server.close();
    this.#options.answers.endStreams();
    requests.takeBackAll();
    // Tells clients to take their next request elsewhere.
    for (const session of sessions) session.close();
    // Of what has come, requests are made a turn later.
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#inFlight > 0) await this.#idle.promise;
    await connections.endAll();
  }

  /** Cuts every connection. */
  abort(): void {
    for (const session of this.#limited.sessions) session.destroy();
    this.#limited.connections.cutAll();
  }

  async #serve(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    this.#inFlight++;
    const isHttp1 = request.httpVersionMajor === 1;
    const socket = request.socket as TLSSocket;
    if (isHttp1) this.#limited.connections.arrived(socket);
    using exchange = new NodeExchange(request, response);
    try {
      const answered = await exchange.unlessGone(this.#answer(request, exchange));
      const isHead = request.method === "HEAD";
      await exchange.unlessGone(sendResponse(answered, response, { isHead, exchange }));
      await exchange.unlessGone(exchange.sent());
    } catch {
      // The client went while it was answered.
      exchange.cut();
    } finally {
      if (isHttp1) this.#limited.connections.expectWithin(socket, this.#options.idleTimeoutMs);
      this.#inFlight--;
      if (this.#inFlight === 0 && this.#isClosing) this.#idle.resolve();
    }
  }

  #answer(request: Http2ServerRequest, exchange: NodeExchange): Response | Promise<Response> {
    const { answers, limits, emitLimit } = this.#options;
    if (Number(request.headers["content-length"] ?? 0) > answers.maxBodyBytes) {
      emitLimit({ kind: "limit_reached", limit: "max-request-body-in-mb" });
      return errorResponse(413);
    }
    // The standard's headers are joined where a name came more than once.
    if (headerCount(request) > limits.maxHeaders) {
      emitLimit({ kind: "limit_reached", limit: "max-header-count" });
      return errorResponse(431);
    }
    let standard: Request;
    try {
      standard = webRequestOf(request, exchange.signal);
    } catch {
      // What follows on the connection may be meant as a part of it.
      return errorResponse(400, request.httpVersionMajor === 1 ? { connection: "close" } : undefined);
    }
    return answers.answer(standard, exchange);
  }
}
