import type { EmitLimitEvent } from "../../server/limits.ts";
import { type Answer, RESPONSE_TIMEOUT_MS } from "../exchange.ts";
import { errorResponse } from "../responses.ts";
import type { PreparedResponse } from "../spec-responses.ts";
import { LINGER_IN_BODY_MS, LINGER_MS, Linger } from "./body.ts";
import { type ExchangePorts, Http1Exchange, Http1Head, type RequestHead } from "./exchange.ts";
import {
  type ParserPool,
  parserErrorStatus,
  type RawHead,
  type ReadFailure,
  type RequestParser,
  type RequestSink,
} from "./parser.ts";
import { type ByteTransport, ByteWriter, sendHttp1Response } from "./response.ts";

/** What answers the requests of a connection. */
export interface Http1Handler {
  /** From memory, at once, and counts it; undefined if it takes more than that. */
  fromMemory(request: RequestHead, headerCount: number): PreparedResponse | undefined;
  readonly answer: Answer;
}

export interface Http1Options {
  readonly scheme: "http" | "https";
  readonly handler: Http1Handler;
  readonly parsers: ParserPool;
  /** From the first byte of a request to the end of its headers. */
  readonly headerTimeoutMs: number;
  /** Before the first request and between two: balancers open connections before they need them. */
  readonly idleTimeoutMs: number;
  readonly emit: EmitLimitEvent;
}

/** What a connection waits for, and is cut for if it does not come in time. */
type Awaited = "head" | "next" | "answer" | "write" | "linger";

/** Parsed before requests are answered, and at the most in one turn of the event loop: other connections wait for it. */
const PARSED_AT_ONCE = 16 * 1024;
const PARSED_IN_A_TURN = 64 * 1024;

/**
 * One connection of HTTP/1.1: reads requests, has them answered one after the other, and writes the responses. Pipelined
 * requests wait, and nothing is read from the connection meanwhile.
 */
export class Http1Connection implements RequestSink {
  readonly #transport: ByteTransport;
  readonly #options: Http1Options;
  /** While a request comes. */
  #parser: RequestParser | undefined;
  readonly #writer: ByteWriter;
  readonly #linger: Linger;
  readonly #ports: ExchangePorts;
  /** Requests that have begun to come, in their order; the first is being answered. */
  readonly #exchanges: Http1Exchange[] = [];
  #unparsed: Uint8Array | undefined;
  #isReading = false;
  #isPaused = false;
  /** Nothing more can be read: the bytes made no sense, or the client sends no more. */
  #isInputOver = false;
  #isDraining = false;
  /** No further request is answered; what comes is dropped. */
  #isEnding = false;
  #isClosed = false;
  #awaited: Awaited = "next";
  #deadlineMs: number;

  constructor(transport: ByteTransport, options: Http1Options) {
    this.#transport = transport;
    this.#options = options;
    this.#writer = new ByteWriter(transport);
    this.#linger = new Linger(transport);
    this.#ports = {
      limitTo: (ms) => this.#await("answer", ms > 0 ? ms : Number.POSITIVE_INFINITY),
      readMore: () => this.#read(),
      write: (head, body) => this.#write(head, body),
      streams: (exchange) => this.#streams(exchange),
      isDraining: () => this.#isDraining,
      copies: transport.copies,
      keepAliveTimeoutS: Math.floor(options.idleTimeoutMs / 1_000),
    };
    this.#deadlineMs = performance.now() + options.idleTimeoutMs;
  }

  /** Whether a request has come that is not answered yet, or the client has not received all of a last response. */
  get isBusy(): boolean {
    if (this.#isClosed) return false;
    if (this.#isEnding) return this.#transport.unsentBytes() > 0;
    return this.#exchanges.some(({ isAnswered }) => !isAnswered);
  }

  received(bytes: Uint8Array): void {
    if (this.#isEnding || this.#isInputOver || this.#exchanges[0]?.isStreaming === true) {
      this.#linger.discard(bytes.length);
      return;
    }
    this.#unparsed = this.#unparsed === undefined ? bytes : Buffer.concat([this.#unparsed, bytes]);
    this.#read();
  }

  drained(): void {
    if (this.#awaited === "write") this.#await("write", RESPONSE_TIMEOUT_MS);
    this.#writer.drained();
  }

  /** The client sends no more. What it asked for is still answered, but for streams, which would never end. */
  peerEnded(): void {
    if (this.#isEnding) {
      this.#transport.close();
      return;
    }
    if (this.#unparsed === undefined) this.#endInput();
    else this.#isInputOver = true;
  }

  closed(): void {
    this.#isClosed = true;
    this.#isEnding = true;
    const gone = new Error("the client closed the connection");
    this.#writer.closed(gone);
    for (const exchange of this.#exchanges.splice(0)) exchange.abort(gone);
    // The parser may be reading just now.
    if (!this.#isReading) this.#releaseParser();
  }

  /**
   * Ends the connection as soon as the requests that have come are answered. The last may still be coming: it is given
   * little time, or none if it is not being answered yet.
   */
  drain(): void {
    this.#isDraining = true;
    const [first] = this.#exchanges;
    const last = this.#exchanges.at(-1);
    if (first === undefined || last === undefined) {
      this.#end();
      return;
    }
    if (last.body.isOver || last.isAnswered) return;
    if (last === first) this.#await("answer", LINGER_MS);
    else this.#exchanges.pop();
  }

  /** Cuts the connection if what it waits for is late. `nowMs` is of `performance.now()`. */
  checkDeadline(nowMs: number): void {
    if (nowMs < this.#deadlineMs || this.#isClosed) return;
    if (this.#awaited === "next") {
      this.#end();
      return;
    }
    if (this.#awaited === "linger" && this.#isEnding) {
      if (this.#linger.isReceiving(nowMs)) this.#await("linger", LINGER_MS);
      else this.#transport.close();
      return;
    }
    if (this.#awaited !== "head") {
      this.#transport.destroy();
      return;
    }
    this.#options.emit({ kind: "limit_reached", limit: "header-timeout-in-s" });
    this.#refuse(408);
  }

  head(raw: RawHead): void {
    this.#linger.begin();
    this.#exchanges.push(new Http1Exchange(new Http1Head(raw), this.#ports));
  }

  body(chunk: Uint8Array<ArrayBuffer>): void {
    const exchange = this.#exchanges.at(-1);
    if (exchange?.body.isDiscarded) this.#linger.discard(chunk.length);
    else exchange?.body.push(chunk);
  }

  complete(): void {
    this.#exchanges.at(-1)?.body.complete();
  }

  /** Parses what has come, piece by piece, for as long as requests can be answered or their bodies are read. */
  #read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    let parsed = 0;
    while (this.#canRead() && parsed < PARSED_IN_A_TURN) parsed += this.#readPiece();
    const isTurnOver = this.#canRead();
    this.#pause(this.#unparsed !== undefined);
    if (isTurnOver) setImmediate(() => this.#readOn());
    else this.#readOn();
  }

  #readOn(): void {
    this.#isReading = false;
    if (this.#canRead()) {
      this.#read();
      return;
    }
    if (this.#isInputOver && this.#unparsed === undefined) this.#endInput();
    if (this.#exchanges.length === 0 && !this.#isEnding) this.#awaitRequest();
  }

  #canRead(): boolean {
    if (this.#unparsed === undefined || this.#isEnding) return false;
    const [first, second] = this.#exchanges;
    if (first === undefined) return true;
    return second === undefined && !first.body.isComplete && !first.body.isFull;
  }

  #readPiece(): number {
    const bytes = this.#unparsed ?? new Uint8Array(0);
    const isLast = bytes.length <= PARSED_AT_ONCE;
    const piece = isLast ? bytes : bytes.subarray(0, PARSED_AT_ONCE);
    this.#unparsed = isLast ? undefined : bytes.subarray(PARSED_AT_ONCE);
    this.#parser ??= this.#options.parsers.take(this);
    const failure = this.#parser.read(piece);
    this.#advance();
    if (failure !== undefined && !this.#isEnding) this.#stopReading(failure);
    return piece.length;
  }

  #stopReading(failure: ReadFailure): void {
    this.#unparsed = undefined;
    this.#isInputOver = true;
    if (failure === "headers_too_large")
      this.#options.emit({ kind: "limit_reached", limit: "max-header-size-in-kb" });
    if (this.#exchanges.length === 0) this.#refuse(parserErrorStatus(failure));
    else this.#endInput();
  }

  /** Nothing follows the requests that have come, and the last of them may not have come as a whole. */
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
    if (first?.isStreaming) this.#streams(first);
    this.#advance();
  }

  /**
   * The response goes on for as long as the client listens, and nothing after it is answered. A client that sends no
   * more is taken for one that has gone.
   */
  #streams(exchange: Http1Exchange): void {
    this.#exchanges.splice(1);
    this.#unparsed = undefined;
    this.#pause(false);
    this.#await("answer", Number.POSITIVE_INFINITY);
    if (this.#isInputOver) exchange.abort(new Error("the client sends no more"));
  }

  /** Has the requests that have come answered, in their order, as far as that can be done now. */
  #advance(): void {
    for (let first = this.#exchanges[0]; first !== undefined; first = this.#exchanges[0]) {
      if (!first.isStarted) this.#start(first);
      if (this.#isEnding || !first.isAnswered || !first.body.isOver) return;
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
    const prepared = this.#fromMemory(head);
    if (prepared === undefined) {
      void this.#serve(exchange);
      return;
    }
    const { keepAliveTimeoutS } = exchange;
    const isHead = head.method === "HEAD";
    const written = this.#write(
      prepared.http1Head(exchange.decideClose() ? undefined : keepAliveTimeoutS),
      isHead ? undefined : prepared.body,
    );
    if (written === undefined) this.#answered(exchange);
    else void written.then(() => this.#goOn(exchange), ignore);
  }

  #fromMemory(head: Http1Head): PreparedResponse | undefined {
    if (head.host() === undefined) return undefined;
    try {
      return this.#options.handler.fromMemory(head, head.headerCount);
    } catch {
      // The longer way fails as well, and reports it.
      return undefined;
    }
  }

  async #serve(exchange: Http1Exchange): Promise<void> {
    this.#await("answer", RESPONSE_TIMEOUT_MS);
    await this.#send(exchange, this.#respond(exchange));
  }

  async #send(exchange: Http1Exchange, response: Response | Promise<Response>): Promise<void> {
    try {
      await sendHttp1Response(await response, exchange);
    } catch {
      // The client went, or what made the body failed: a response that is cut must not look whole.
      this.#transport.destroy();
      return;
    }
    this.#goOn(exchange);
  }

  async #respond(exchange: Http1Exchange): Promise<Response> {
    const { scheme, handler } = this.#options;
    const request = exchange.toRequest(scheme);
    if (request === undefined) {
      // What follows may be meant as a part of it.
      exchange.mustClose = true;
      return errorResponse(400);
    }
    try {
      return await handler.answer(request, exchange);
    } catch {
      return errorResponse(500);
    }
  }

  #goOn(exchange: Http1Exchange): void {
    if (this.#isEnding) return;
    this.#answered(exchange);
    this.#advance();
    this.#read();
  }

  /** Of a request that has not come as a whole the rest is dropped: for a client that reads only when it has sent all. */
  #answered(exchange: Http1Exchange): void {
    exchange.isAnswered = true;
    if (exchange.body.isOver) return;
    this.#await("linger", LINGER_IN_BODY_MS);
    exchange.body.discard();
  }

  #write(head: Uint8Array, body?: Uint8Array): Promise<void> | undefined {
    if (this.#isClosed) return Promise.reject(new Error("the connection is closed"));
    const written = this.#writer.write(head, body);
    if (written === undefined) return undefined;
    this.#await("write", RESPONSE_TIMEOUT_MS);
    return written.then(() => this.#await("answer", this.#answerTimeoutMs()));
  }

  #answerTimeoutMs(): number {
    return this.#exchanges[0]?.isStreaming ? Number.POSITIVE_INFINITY : RESPONSE_TIMEOUT_MS;
  }

  /** Answers what is no request that could be read. */
  #refuse(status: number): void {
    this.#isInputOver = true;
    this.head({ ...UNREADABLE, keepAlive: false });
    this.complete();
    const [exchange] = this.#exchanges;
    if (exchange === undefined) return;
    exchange.isStarted = true;
    void this.#send(exchange, errorResponse(status));
  }

  /** Says goodbye, and waits for the client's. */
  #end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#unparsed = undefined;
    this.#await("linger", LINGER_MS);
    this.#transport.shutdown();
    this.#pause(false);
  }

  #awaitRequest(): void {
    if (this.#parser?.isInHead) {
      // Counted from the first byte of a request: a client must not gain time by each further one.
      if (this.#awaited !== "head") this.#await("head", this.#options.headerTimeoutMs);
      return;
    }
    this.#releaseParser();
    this.#await("next", this.#options.idleTimeoutMs);
  }

  #releaseParser(): void {
    if (this.#parser !== undefined) this.#options.parsers.giveBack(this.#parser);
    this.#parser = undefined;
  }

  #await(what: Awaited, ms: number): void {
    this.#awaited = what;
    this.#deadlineMs = performance.now() + ms;
  }

  #pause(isToPause: boolean): void {
    if (isToPause === this.#isPaused || this.#isClosed) return;
    this.#isPaused = isToPause;
    if (isToPause) this.#transport.pause();
    else this.#transport.resume();
  }
}

const UNREADABLE = { method: "GET", target: "/", rawHeaders: [], versionMinor: 1 } as const;

const ignore = () => {};
