import { HTTPParser, type HttpParseError, methods } from "node:_http_common";
import type { ByteTransport } from "./transport.ts";

export type { HttpParseError } from "node:_http_common";

/** The head of a request as received. */
export interface RawHead {
  readonly method: string;
  /** Path and query, or an absolute URL from clients that use the relay as a forward proxy. */
  readonly target: string;
  /** Name, value, name, value…, in the client's spelling and order. */
  readonly rawHeaders: readonly string[];
  readonly versionMinor: number;
  /** Whether the client may send another request on the connection. */
  readonly keepAlive: boolean;
}

/** Receives the requests that {@link RequestParser.read} parses, from within that call. */
interface ParserSink {
  onHead(head: RawHead): void;
  onBody(chunk: Uint8Array<ArrayBuffer>): void;
  /** The request is complete. */
  onComplete(): void;
}

/** Receives what a {@link RequestReader} reads, and controls how much it reads. */
export interface RequestSink extends ParserSink {
  /** Whether more may be parsed now. */
  readonly wantsInput: boolean;
  /** A chunk was parsed, up to the failure if there is one. Nothing can be read after a failure. */
  onParsed(failure: ReadFailure | undefined): void;
  /** Nothing more can be parsed for now. */
  onReadEnd(): void;
}

/** Why nothing more can be read from the connection. */
export type ReadFailure = "headers_too_large" | "too_many_trailers" | "unsupported_version" | "malformed";

export function failureStatus(failure: ReadFailure): number {
  switch (failure) {
    case "headers_too_large":
      return 431;
    case "unsupported_version":
      return 505;
    case "too_many_trailers":
    case "malformed":
      return 400;
  }
}

/** The most bytes parsed before responses are started, and in one turn of the event loop: other connections wait for it. */
const CHUNK_BYTES = 16 * 1024;
const MAX_BYTES_PER_TURN = 64 * 1024;

/** Parses what arrives on one connection, chunk by chunk, and stops the transport while its sink wants no input. */
export class RequestReader {
  readonly #transport: ByteTransport;
  readonly #parsers: ParserPool;
  readonly #sink: RequestSink;
  /** Held only while a request arrives. */
  #parser: RequestParser | undefined;
  #unparsed: Uint8Array | undefined;
  #isReading = false;
  #isPaused = false;
  #isClosed = false;

  constructor(transport: ByteTransport, parsers: ParserPool, sink: RequestSink) {
    this.#transport = transport;
    this.#parsers = parsers;
    this.#sink = sink;
  }

  /** Whether everything that was received has been parsed. */
  get isEmpty(): boolean {
    return this.#unparsed === undefined;
  }

  /** Whether a request has begun to arrive, and its head is not complete yet. */
  get isInHead(): boolean {
    return this.#parser?.isInHead === true;
  }

  received(bytes: Uint8Array): void {
    this.#unparsed = this.#unparsed === undefined ? bytes : Buffer.concat([this.#unparsed, bytes]);
    this.read();
  }

  /** Parses what was received, as long as the sink wants input. To be called when it wants input again. */
  read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    let parsed = 0;
    while (this.#canRead() && parsed < MAX_BYTES_PER_TURN) parsed += this.#readChunk();
    const isTurnOver = this.#canRead();
    this.#setPaused(!this.isEmpty);
    if (isTurnOver) setImmediate(() => this.#endRead());
    else this.#endRead();
  }

  /** Drops what was not parsed, and lets the transport deliver more. */
  discard(): void {
    this.#unparsed = undefined;
    this.#setPaused(false);
  }

  releaseParser(): void {
    if (this.#parser !== undefined) this.#parsers.release(this.#parser);
    this.#parser = undefined;
  }

  closed(): void {
    this.#isClosed = true;
    // The parser may be running right now.
    if (!this.#isReading) this.releaseParser();
  }

  #canRead(): boolean {
    return this.#unparsed !== undefined && this.#sink.wantsInput;
  }

  #readChunk(): number {
    const bytes = this.#unparsed ?? new Uint8Array(0);
    const isLast = bytes.length <= CHUNK_BYTES;
    const chunk = isLast ? bytes : bytes.subarray(0, CHUNK_BYTES);
    this.#unparsed = isLast ? undefined : bytes.subarray(CHUNK_BYTES);
    this.#parser ??= this.#parsers.acquire(this.#sink);
    this.#sink.onParsed(this.#parser.read(chunk));
    return chunk.length;
  }

  #endRead(): void {
    this.#isReading = false;
    if (this.#canRead()) this.read();
    else this.#sink.onReadEnd();
  }

  #setPaused(isPaused: boolean): void {
    if (isPaused === this.#isPaused || this.#isClosed) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#transport.pause();
    else this.#transport.resume();
  }
}

/** The most trailers of a request. The parser passes names and values one after the other, two entries for a trailer. */
const MAX_TRAILERS = 100;

const UNKNOWN_METHOD = "OTHER";

/** Above `SOURCE` the parser's numbers no longer match the list. */
const KNOWN_METHODS = methods.slice(0, methods.indexOf("SOURCE") + 1);

/**
 * Parses the HTTP/1.1 requests of one connection with the parser of `node:http`. Trailers are read and dropped. A request
 * for an upgrade is read as one without it.
 */
class RequestParser {
  readonly #parser = new HTTPParser();
  #sink: ParserSink | undefined;
  /** Collects a head whose headers arrive in several parts. */
  #rawHeaders: string[] = [];
  #target = "";
  #isInHead = false;
  #isInBody = false;
  /** Whether the last request allows another one on the connection. */
  #keepsAlive = true;
  #trailers = 0;
  #failure: ReadFailure | undefined;

  constructor(maxHeaderBytes: number) {
    const parser = this.#parser;
    parser.initialize(HTTPParser.REQUEST, {}, maxHeaderBytes, 0);
    parser[HTTPParser.kOnMessageBegin] = () => {
      this.#isInHead = true;
    };
    parser[HTTPParser.kOnHeaders] = (headers: readonly string[], target: string) =>
      this.#addHeaders(headers, target);
    parser[HTTPParser.kOnHeadersComplete] = (...args: HeadArguments) => this.#endHead(...args);
    parser[HTTPParser.kOnBody] = (chunk: Uint8Array<ArrayBuffer>) => this.#sink?.onBody(chunk);
    parser[HTTPParser.kOnMessageComplete] = () => this.#complete();
  }

  /** Whether another connection may use the parser: it is between two requests. */
  get isReusable(): boolean {
    return this.#failure === undefined && !this.#isInHead && !this.#isInBody && this.#keepsAlive;
  }

  get isInHead(): boolean {
    return this.#isInHead;
  }

  setSink(sink: ParserSink | undefined): void {
    this.#sink = sink;
  }

  /** Parses all of `bytes`, or returns why it could not. The parser must not be used after a failure. */
  read(bytes: Uint8Array): ReadFailure | undefined {
    for (let at = 0; at < bytes.length; ) {
      const parsed = this.#parser.execute(at === 0 ? bytes : bytes.subarray(at));
      if (this.#failure !== undefined) return this.#failure;
      if (typeof parsed !== "number") return toFailure(parsed);
      // The parser stops behind a request for an upgrade. What follows is the next request, since nothing is upgraded.
      at += parsed;
      if (parsed === 0) return "malformed";
    }
    return undefined;
  }

  #addHeaders(headers: readonly string[], target: string): void {
    if (this.#isInBody) {
      this.#trailers += headers.length / 2;
      if (this.#trailers > MAX_TRAILERS) this.#failure = "too_many_trailers";
      return;
    }
    this.#rawHeaders.push(...headers);
    this.#target += target;
  }

  #endHead(...[major, minor, headers, method, target, , , , keepAlive]: HeadArguments): number {
    const head: RawHead = {
      method: KNOWN_METHODS[method] ?? UNKNOWN_METHOD,
      target: target ?? this.#target,
      rawHeaders: headers ?? this.#rawHeaders,
      versionMinor: minor,
      keepAlive,
    };
    this.#rawHeaders = [];
    this.#target = "";
    this.#isInHead = false;
    this.#isInBody = true;
    this.#keepsAlive = keepAlive;
    if (major !== 1) this.#failure = "unsupported_version";
    // After a failure the parser continues to the end of the bytes.
    if (this.#failure === undefined) this.#sink?.onHead(head);
    return 0;
  }

  #complete(): void {
    this.#isInBody = false;
    this.#trailers = 0;
    if (this.#failure === undefined) this.#sink?.onComplete();
  }
}

/** The most idle parsers kept for reuse. A parser takes more memory than the rest of a connection. */
const MAX_IDLE_PARSERS = 256;

/** The parsers of one port. A connection needs one only while a request arrives. */
export class ParserPool {
  readonly #maxHeaderBytes: number;
  readonly #idle: RequestParser[] = [];

  constructor(maxHeaderBytes: number) {
    this.#maxHeaderBytes = maxHeaderBytes;
  }

  acquire(sink: ParserSink): RequestParser {
    const parser = this.#idle.pop() ?? new RequestParser(this.#maxHeaderBytes);
    parser.setSink(sink);
    return parser;
  }

  release(parser: RequestParser): void {
    parser.setSink(undefined);
    if (parser.isReusable && this.#idle.length < MAX_IDLE_PARSERS) this.#idle.push(parser);
  }
}

/** Headers and target are undefined if they were reported in parts before. */
type HeadArguments = [
  major: number,
  minor: number,
  rawHeaders: readonly string[] | undefined,
  method: number,
  target: string | undefined,
  statusCode: undefined,
  statusMessage: undefined,
  upgrade: boolean,
  keepAlive: boolean,
];

function toFailure({ code }: HttpParseError): ReadFailure {
  return code === "HPE_HEADER_OVERFLOW" ? "headers_too_large" : "malformed";
}
