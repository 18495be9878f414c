import { HTTPParser, type HttpParseError, methods } from "node:_http_common";

export type { HttpParseError } from "node:_http_common";

/** The head of a request as it came. */
export interface RawHead {
  readonly method: string;
  /** Path and query, or a whole URL from clients that take the relay for another kind of proxy. */
  readonly target: string;
  /** Name, value, name, value…; in the spelling and order of the client. */
  readonly rawHeaders: readonly string[];
  readonly versionMinor: number;
  /** Whether the client wants to send another request on the connection. */
  readonly keepAlive: boolean;
}

/** What a connection does with the requests that it reads; called from within {@link RequestParser.read}. */
export interface RequestSink {
  head(head: RawHead): void;
  body(chunk: Uint8Array<ArrayBuffer>): void;
  /** The request has come as a whole. */
  complete(): void;
}

/** Why nothing more can be read from the connection. */
export type ReadFailure = "headers_too_large" | "too_many_trailers" | "unsupported_version" | "malformed";

/** What the client is answered. */
export function parserErrorStatus(failure: ReadFailure): number {
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

/** The parser counts names and values of headers that come in parts; a trailer has both. */
const MAX_TRAILERS = 100;

const UNKNOWN_METHOD = "OTHER";

/** The numbers above `SOURCE` are not those of the list. */
const KNOWN_METHODS = methods.slice(0, methods.indexOf("SOURCE") + 1);

/**
 * Reads HTTP/1.1 requests from the bytes of one connection, with the parser of `node:http`. Trailers are read and
 * dropped; a request for an upgrade is read as one without it.
 */
export class RequestParser {
  readonly #parser = new HTTPParser();
  #sink: RequestSink | undefined;
  /** Of a head whose headers come in several parts. */
  #rawHeaders: string[] = [];
  #target = "";
  #isInHead = false;
  #isInBody = false;
  /** Whether the last request said that others may follow. */
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
    parser[HTTPParser.kOnBody] = (chunk: Uint8Array<ArrayBuffer>) => this.#sink?.body(chunk);
    parser[HTTPParser.kOnMessageComplete] = () => this.#complete();
  }

  /** Whether another connection may use it: between two requests. */
  get isReusable(): boolean {
    return this.#failure === undefined && !this.#isInHead && !this.#isInBody && this.#keepsAlive;
  }

  /** Whose bytes are read from now on; undefined: nobody's. */
  readFor(sink: RequestSink | undefined): void {
    this.#sink = sink;
  }

  /** Whether a request has begun to come, and its head is not whole yet. */
  get isInHead(): boolean {
    return this.#isInHead;
  }

  /** Reads all of it, unless it returns why not. After a failure there is nothing more to be read. */
  read(bytes: Uint8Array): ReadFailure | undefined {
    for (let at = 0; at < bytes.length; ) {
      const parsed = this.#parser.execute(at === 0 ? bytes : bytes.subarray(at));
      if (this.#failure !== undefined) return this.#failure;
      if (typeof parsed !== "number") return failureOf(parsed);
      // It stops behind a request for an upgrade. What follows is the next request, since nothing is upgraded.
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
    const rawHeaders = headers === undefined ? this.#rawHeaders : headers;
    const head: RawHead = {
      method: KNOWN_METHODS[method] ?? UNKNOWN_METHOD,
      target: target ?? this.#target,
      rawHeaders,
      versionMinor: minor,
      keepAlive,
    };
    this.#rawHeaders = [];
    this.#target = "";
    this.#isInHead = false;
    this.#isInBody = true;
    this.#keepsAlive = keepAlive;
    if (major !== 1) this.#failure = "unsupported_version";
    // After a failure the parser goes on to the end of the bytes.
    if (this.#failure === undefined) this.#sink?.head(head);
    return 0;
  }

  #complete(): void {
    this.#isInBody = false;
    this.#trailers = 0;
    if (this.#failure === undefined) this.#sink?.complete();
  }
}

/** Parsers of connections that wait for their next request: it takes more memory than all else of a connection. */
const MAX_SPARE = 256;

/** Parsers for the connections of one port, which need one only while a request comes. */
export class ParserPool {
  readonly #maxHeaderBytes: number;
  readonly #spare: RequestParser[] = [];

  constructor(maxHeaderBytes: number) {
    this.#maxHeaderBytes = maxHeaderBytes;
  }

  take(sink: RequestSink): RequestParser {
    const parser = this.#spare.pop() ?? new RequestParser(this.#maxHeaderBytes);
    parser.readFor(sink);
    return parser;
  }

  giveBack(parser: RequestParser): void {
    parser.readFor(undefined);
    if (parser.isReusable && this.#spare.length < MAX_SPARE) this.#spare.push(parser);
  }
}

/** Headers and target are undefined where they came in parts before. */
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

function failureOf({ code }: HttpParseError): ReadFailure {
  return code === "HPE_HEADER_OVERFLOW" ? "headers_too_large" : "malformed";
}
