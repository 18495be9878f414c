import type { EmitLimitEvent } from "../../server/limits.ts";
import { RESPONSE_TIMEOUT_MS, type RequestHandler, type RequestHead } from "../request-context.ts";
import { errorResponse, INVALID_REQUEST } from "../responses.ts";
import type { PreparedResponse } from "../spec-responses.ts";
import { StreamedResponse } from "../streams/streamed-response.ts";
import { type ExchangeConnection, Http1Exchange, Http1Head } from "./exchange.ts";
import { LINGER_IN_BODY_MS, LINGER_MS, Linger } from "./linger.ts";
import { findOtherProtocol } from "./other-protocols.ts";
import {
  failureStatus,
  type ParserPool,
  type RawHead,
  type ReadFailure,
  RequestReader,
  type RequestSink,
} from "./parser.ts";
import { ChunkSink, sendHttp1Response } from "./response.ts";
import { type ByteTransport, ByteWriter } from "./transport.ts";

/** Handles the requests of a connection. */
export interface Http1Handler {
  /** Returns and counts a response that is cached; returns undefined if the request needs `handle`. */
  fromCache(request: RequestHead, headerCount: number): PreparedResponse | undefined;
  readonly handle: RequestHandler;
}

export interface Http1Options {
  readonly scheme: "http" | "https";
  readonly handler: Http1Handler;
  readonly parsers: ParserPool;
  /** From the first byte of a request to the end of its headers. */
  readonly headerTimeoutMs: number;
  /** Before the first request and between two: load balancers open connections before they need them. */
  readonly idleTimeoutMs: number;
  readonly emit: EmitLimitEvent;
}

/** What a connection waits for. It is closed if that does not happen before the deadline. */
type Wait = "head" | "next_request" | "response" | "write" | "linger";

/**
 * One HTTP/1.1 connection: reads requests, has them handled one after the other, and writes the responses. Pipelined
 * requests wait, and nothing is read from the connection meanwhile.
 */
export class Http1Connection implements RequestSink {
  readonly #transport: ByteTransport;
  readonly #options: Http1Options;
  readonly #reader: RequestReader;
  readonly #writer: ByteWriter;
  readonly #linger: Linger;
  readonly #exchangeConnection: ExchangeConnection;
  /** Requests that have begun to arrive, in order. The first is being handled. */
  readonly #exchanges: Http1Exchange[] = [];
  /** Nothing more can be read: the bytes were malformed, or the client sends no more. */
  #isInputOver = false;
  #isDraining = false;
  /** No further request is handled. What arrives is dropped. */
  #isEnding = false;
  #isClosed = false;
  #wait: Wait = "next_request";
  #deadlineMs: number;

  constructor(transport: ByteTransport, options: Http1Options) {
    this.#transport = transport;
    this.#options = options;
    this.#reader = new RequestReader(transport, options.parsers, this);
    this.#writer = new ByteWriter(transport);
    this.#linger = new Linger(transport);
    this.#exchangeConnection = {
      setDeadline: (ms) => this.#waitFor("response", ms > 0 ? ms : Number.POSITIVE_INFINITY),
      readMore: () => this.#reader.read(),
      write: (...parts) => this.#write(...parts),
      startStream: (exchange) => this.#startStream(exchange),
      isDraining: () => this.#isDraining,
      isInputOver: () => this.#isInputOver,
      copies: transport.copies,
      get clientAddress() {
        return transport.clientAddress;
      },
      keepAliveTimeoutS: Math.floor(options.idleTimeoutMs / 1_000),
    };
    this.#deadlineMs = performance.now() + options.idleTimeoutMs;
  }

  /** Whether a request awaits its response, or the client has not received all of the last one. */
  get isBusy(): boolean {
    if (this.#isClosed) return false;
    if (this.#isEnding) return this.#transport.unsentBytes() > 0;
    return this.#exchanges.some(({ isResponded }) => !isResponded);
  }

  received(bytes: Uint8Array): void {
    if (this.#isEnding || this.#isInputOver || this.#exchanges[0]?.isStreaming === true)
      this.#linger.discard(bytes.length);
    else {
      if (this.#wait === "next_request") this.#reportOtherProtocol(bytes);
      this.#reader.received(bytes);
    }
  }

  drained(): void {
    if (this.#wait === "write") this.#waitFor("write", RESPONSE_TIMEOUT_MS);
    this.#writer.drained();
  }

  /** The client sends no more. Its requests are still answered, except by streams, which would never end. */
  peerEnded(): void {
    if (this.#isEnding) {
      this.#transport.close();
      return;
    }
    if (this.#reader.isEmpty) this.#endInput();
    else this.#isInputOver = true;
  }

  closed(): void {
    this.#isClosed = true;
    this.#isEnding = true;
    const reason = new Error("the client closed the connection");
    this.#reader.closed();
    this.#writer.closed(reason);
    for (const exchange of this.#exchanges.splice(0)) exchange.abort(reason);
  }

  /**
   * Ends the connection once the requests received have their responses. The last request may still be arriving: it gets
   * {@link LINGER_MS}, or is dropped if it is not being handled yet.
   */
  drain(): void {
    this.#isDraining = true;
    const [first] = this.#exchanges;
    const last = this.#exchanges.at(-1);
    if (first === undefined || last === undefined) {
      this.#end();
      return;
    }
    if (last.body.isOver || last.isResponded) return;
    if (last === first) this.#waitFor("response", LINGER_MS);
    else this.#exchanges.pop();
  }

  /** Closes the connection if its deadline has passed. `nowMs` is from `performance.now()`. */
  checkDeadline(nowMs: number): void {
    if (nowMs < this.#deadlineMs || this.#isClosed) return;
    if (this.#wait === "next_request") {
      this.#end();
      return;
    }
    if (this.#wait === "linger" && this.#isEnding) {
      if (this.#linger.isReceiving(nowMs)) this.#waitFor("linger", LINGER_MS);
      // A transport that waits for the client before it closes would wait for ever.
      else if (this.#transport.unsentBytes() > 0) this.#transport.destroy();
      else this.#transport.close();
      return;
    }
    if (this.#wait !== "head") {
      this.#transport.destroy();
      return;
    }
    this.#options.emit({ kind: "limit_reached", limit: "header-timeout-in-s" });
    this.#reject(408);
  }

  #reportOtherProtocol(bytes: Uint8Array): void {
    const reason = findOtherProtocol(bytes);
    if (reason === undefined) return;
    const { clientAddress: client, localPort: port } = this.#transport;
    this.#options.emit({ kind: "wrong_protocol", reason, client, port });
  }

  onHead(raw: RawHead): void {
    this.#linger.reset();
    this.#exchanges.push(new Http1Exchange(new Http1Head(raw), this.#exchangeConnection));
  }

  onBody(chunk: Uint8Array<ArrayBuffer>): void {
    const exchange = this.#exchanges.at(-1);
    if (exchange?.body.isDiscarded) this.#linger.discard(chunk.length);
    else exchange?.body.push(chunk);
  }

  onComplete(): void {
    this.#exchanges.at(-1)?.body.complete();
  }

  /** Requests are read while the first one is arriving and its body is being consumed. */
  get wantsInput(): boolean {
    if (this.#isEnding) return false;
    const [first, second] = this.#exchanges;
    if (first === undefined) return true;
    return second === undefined && !first.body.isComplete && !first.body.isFull;
  }

  onParsed(failure: ReadFailure | undefined): void {
    this.#advance();
    if (failure === undefined || this.#isEnding) return;
    this.#isInputOver = true;
    this.#reader.discard();
    if (failure === "headers_too_large")
      this.#options.emit({ kind: "limit_reached", limit: "max-header-size-in-kb" });
    if (this.#exchanges.length === 0) this.#reject(failureStatus(failure));
    else this.#endInput();
  }

  onReadEnd(): void {
    if (this.#isInputOver && this.#reader.isEmpty) this.#endInput();
    if (this.#exchanges.length === 0 && !this.#isEnding) this.#awaitRequest();
  }

  /** Ends the input: the last request received may be incomplete, and none follows. */
  #endInput(): void {
    this.#isInputOver = true;
    const last = this.#exchanges.at(-1);
    if (last === undefined) {
      this.#end();
      return;
    }
    last.mustClose = true;
    if (!last.body.isComplete) last.body.fail(new Error("the request ended early"));
    const [first] = this.#exchanges;
    first?.inputEnded();
    if (first?.isStreaming) this.#startStream(first);
    this.#advance();
  }

  /**
   * The response continues as long as the client listens, and no later request is handled. A client that sends no more is
   * taken for gone.
   */
  #startStream(exchange: Http1Exchange): void {
    this.#exchanges.splice(1);
    this.#reader.discard();
    // Nothing more is parsed on this connection.
    this.#reader.releaseParser();
    this.#waitFor("response", Number.POSITIVE_INFINITY);
    if (this.#isInputOver) exchange.abort(new Error("the client sends no more"));
  }

  /** Handles the requests received, in order, as far as that is possible now. */
  #advance(): void {
    for (let first = this.#exchanges[0]; first !== undefined; first = this.#exchanges[0]) {
      if (!first.isStarted) this.#start(first);
      if (this.#isEnding || !first.isResponded || !first.body.isOver) return;
      this.#exchanges.shift();
      if (first.mustClose) {
        this.#end();
        return;
      }
    }
  }

  #start(exchange: Http1Exchange): void {
    exchange.isStarted = true;
    const { head } = exchange;
    const prepared = this.#fromCache(head);
    if (prepared === undefined) {
      this.#waitFor("response", RESPONSE_TIMEOUT_MS);
      void this.#send(exchange, this.#handle(exchange));
      return;
    }
    const { keepAliveTimeoutS } = exchange;
    const preparedHead = prepared.http1Head(exchange.decideClose() ? undefined : keepAliveTimeoutS);
    const { body } = prepared;
    const written =
      head.method === "HEAD" || body === undefined
        ? this.#write(preparedHead)
        : this.#write(preparedHead, body);
    if (written === undefined) this.#responded(exchange);
    else void written.then(() => this.#finish(exchange), ignore);
  }

  #fromCache(head: Http1Head): PreparedResponse | undefined {
    if (head.host() === undefined) return undefined;
    try {
      return this.#options.handler.fromCache(head, head.headerCount);
    } catch {
      // `handle` fails as well, and reports it.
      return undefined;
    }
  }

  async #send(exchange: Http1Exchange, response: Response | Promise<Response>): Promise<void> {
    try {
      const resolved = await response;
      if (resolved instanceof StreamedResponse) {
        this.#sendStreamed(exchange, resolved);
        return;
      }
      await sendHttp1Response(resolved, exchange);
    } catch {
      this.#failed();
      return;
    }
    this.#finish(exchange);
  }

  /** Not async: what such a function was passed stays in memory until it returns. */
  #sendStreamed(exchange: Http1Exchange, response: StreamedResponse): void {
    const chunks = new ChunkSink(exchange);
    chunks.begin(response);
    const finish = () => this.#finish(exchange);
    const end = () => {
      const ended = chunks.end();
      if (ended === undefined) finish();
      else ended.then(finish, ignore);
    };
    response.lasting.writeTo(chunks).then(end, () => this.#failed());
  }

  /** The client has gone, or the source of the body failed. A truncated response must not look complete. */
  #failed(): void {
    this.#transport.destroy();
  }

  async #handle(exchange: Http1Exchange): Promise<Response> {
    const { scheme, handler } = this.#options;
    const request = exchange.toRequest(scheme);
    if (request === undefined) {
      // The bytes that follow may belong to its body.
      exchange.mustClose = true;
      return errorResponse(400, { message: INVALID_REQUEST });
    }
    try {
      return await handler.handle(request, exchange);
    } catch {
      return errorResponse(500);
    }
  }

  #finish(exchange: Http1Exchange): void {
    if (this.#isEnding) return;
    this.#responded(exchange);
    this.#advance();
    this.#reader.read();
  }

  /** Drops the rest of a request that is still arriving, for clients that read only after they have sent everything. */
  #responded(exchange: Http1Exchange): void {
    exchange.isResponded = true;
    if (exchange.body.isOver) return;
    this.#waitFor("linger", LINGER_IN_BODY_MS);
    exchange.body.discard();
  }

  #write(...parts: Uint8Array[]): Promise<void> | undefined {
    if (this.#isClosed) return Promise.reject(new Error("the connection is closed"));
    const written = this.#writer.write(...parts);
    if (written === undefined) return undefined;
    this.#waitFor("write", RESPONSE_TIMEOUT_MS);
    return written.then(() => this.#waitFor("response", this.#responseTimeoutMs()));
  }

  #responseTimeoutMs(): number {
    return this.#exchanges[0]?.isStreaming ? Number.POSITIVE_INFINITY : RESPONSE_TIMEOUT_MS;
  }

  /** Responds to input that could not be read as a request, and ends the connection. */
  #reject(status: number): void {
    this.#isInputOver = true;
    this.onHead({ ...UNREADABLE_REQUEST, keepAlive: false });
    this.onComplete();
    const [exchange] = this.#exchanges;
    if (exchange === undefined) return;
    exchange.isStarted = true;
    void this.#send(exchange, errorResponse(status, { ...(status === 400 && { message: NOT_HTTP }) }));
  }

  /** Closes the relay's half of the connection, and gives the client time to close its own. */
  #end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#waitFor("linger", LINGER_MS);
    this.#transport.shutdown();
    this.#reader.discard();
  }

  #awaitRequest(): void {
    if (this.#reader.isInHead) {
      // Counted from the first byte of a request: further bytes must not extend the deadline.
      if (this.#wait !== "head") this.#waitFor("head", this.#options.headerTimeoutMs);
      return;
    }
    this.#reader.releaseParser();
    this.#waitFor("next_request", this.#options.idleTimeoutMs);
  }

  #waitFor(wait: Wait, ms: number): void {
    this.#wait = wait;
    this.#deadlineMs = performance.now() + ms;
  }
}

const NOT_HTTP = "The request is not valid HTTP/1.1";

const UNREADABLE_REQUEST = { method: "GET", target: "/", rawHeaders: [], versionMinor: 1 } as const;

const ignore = () => {};
