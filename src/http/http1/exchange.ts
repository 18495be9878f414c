import type { RequestContext, RequestHead } from "../request-context.ts";
import { IncomingBody } from "./body.ts";
import type { RawHead } from "./parser.ts";
import { CONTINUE, type Http1ResponseTarget } from "./response.ts";

/** The connection as its exchanges see it. */
export interface ExchangeConnection {
  /** 0 removes the deadline. */
  setDeadline(ms: number): void;
  readMore(): void;
  write(...parts: Uint8Array[]): Promise<void> | undefined;
  /** A response without an end has begun. */
  startStream(exchange: Http1Exchange): void;
  isDraining(): boolean;
  /** Whether the client sends no more. */
  isInputOver(): boolean;
  readonly keepAliveTimeoutS: number;
  readonly copies: boolean;
  readonly clientAddress: string;
}

/** The rest of a body of up to this length is read and dropped, so that the connection can be kept. */
const MAX_DROPPED_BYTES = 1024 * 1024;

/** One request over HTTP/1.1 and its response. */
export class Http1Exchange implements RequestContext, Http1ResponseTarget {
  readonly head: Http1Head;
  readonly body: IncomingBody;
  readonly #connection: ExchangeConnection;
  /** Made when its signal is first asked for: most requests have their response before. */
  #gone: AbortController | undefined;
  isStarted = false;
  isResponded = false;
  isStreaming = false;
  /** Whether the end of what the client sends ends the request as well. */
  #endsWithInput = false;
  #isContinued = false;
  mustClose: boolean;

  constructor(head: Http1Head, connection: ExchangeConnection) {
    this.head = head;
    this.#connection = connection;
    this.body = new IncomingBody(() => connection.readMore());
    // RFC 9112, 6.1: a proxy that does not know chunked encoding may see another end of such a request.
    this.mustClose = !head.keepAlive || (this.isHttp10 && head.get("transfer-encoding") !== null);
  }

  get isHead(): boolean {
    return this.head.method === "HEAD";
  }

  get isHttp10(): boolean {
    return this.head.versionMinor === 0;
  }

  get headerCount(): number {
    return this.head.headerCount;
  }

  get clientAddress(): string {
    return this.#connection.clientAddress;
  }

  get keepAliveTimeoutS(): number {
    return this.#connection.keepAliveTimeoutS;
  }

  get copies(): boolean {
    return this.#connection.copies;
  }

  /** Aborted when the client disconnects before it has its response. */
  get signal(): AbortSignal {
    this.#gone ??= new AbortController();
    return this.#gone.signal;
  }

  setDeadline(ms: number): void {
    if (!this.isResponded) this.#connection.setDeadline(ms);
  }

  endWithInput(): void {
    this.#endsWithInput = true;
    if (this.#connection.isInputOver()) this.inputEnded();
  }

  /** The client sends no more. */
  inputEnded(): void {
    if (this.#endsWithInput) this.abort(new Error("the client sends no more"));
  }

  write(...parts: Uint8Array[]): Promise<void> | undefined {
    return this.#connection.write(...parts);
  }

  startStream(): void {
    this.isStreaming = true;
    this.#connection.startStream(this);
  }

  abort(reason: Error): void {
    this.body.fail(reason);
    this.#gone?.abort(reason);
  }

  decideClose(): boolean {
    // A client that waits for 100 Continue may or may not send its body; both are allowed.
    const isUnclear = this.#expectsContinue() && !this.#isContinued && !this.body.isOver;
    const isRestShort =
      !isUnclear && Number(this.head.get("content-length") ?? Number.NaN) <= MAX_DROPPED_BYTES;
    this.mustClose ||=
      this.#connection.isDraining() || this.isStreaming || !(this.body.isOver || isRestShort);
    return this.mustClose;
  }

  /** Returns undefined if the web standard has no such request, or its host is not clear. */
  toRequest(scheme: "http" | "https"): Request | undefined {
    const { head, body } = this;
    const host = head.host();
    if (host === undefined) return undefined;
    const hasBody = head.method !== "GET" && head.method !== "HEAD" && !(body.isComplete && !body.isFull);
    try {
      return head.toRequest(scheme, host, {
        signal: this.signal,
        ...(hasBody && { body: body.stream(() => this.#continue()), duplex: "half" }),
      });
    } catch {
      return undefined;
    }
  }

  /** Sends 100 Continue to a client that waits for it before it sends its body (RFC 9110, 10.1.1). */
  #continue(): void {
    if (!this.#expectsContinue() || this.body.isOver) return;
    this.#isContinued = true;
    void this.write(CONTINUE)?.catch(() => {});
  }

  #expectsContinue(): boolean {
    return !this.isHttp10 && this.head.get("expect")?.toLowerCase() === "100-continue";
  }
}

/** The head of a request over HTTP/1.1. Finds single headers without building a `Headers` of all of them. */
export class Http1Head implements RequestHead {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly versionMinor: number;
  readonly keepAlive: boolean;

  constructor({ method, target, rawHeaders, versionMinor, keepAlive }: RawHead) {
    this.method = method;
    this.url = target;
    this.rawHeaders = rawHeaders;
    this.versionMinor = versionMinor;
    this.keepAlive = keepAlive;
  }

  get headers(): this {
    return this;
  }

  get headerCount(): number {
    return this.rawHeaders.length / 2;
  }

  /** `name` must be in lower case. The values of a repeated name are joined (RFC 9110, 5.3). */
  get(name: string): string | null {
    const { rawHeaders } = this;
    let found: string | null = null;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      if (!isNamed(rawHeaders[at], name)) continue;
      const value = rawHeaders[at + 1] ?? "";
      found = found === null ? value : `${found}, ${value}`;
    }
    return found;
  }

  /**
   * Returns the Host header. Returns undefined if there is none or more than one, since proxies in a row may use different
   * ones (RFC 9112, 3.2), or if it is not a host, since it would become part of the path. HTTP/1.0 needs none, and health
   * probes of load balancers send none.
   */
  host(): string | undefined {
    const { rawHeaders } = this;
    let host: string | undefined;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      if (!isNamed(rawHeaders[at], "host")) continue;
      if (host !== undefined) return undefined;
      host = rawHeaders[at + 1];
    }
    if (host === undefined && this.versionMinor === 0) return "localhost";
    return host !== undefined && isHost(host) ? host : undefined;
  }

  /** Throws a TypeError on a URL, a method or a header that the web standard does not allow. */
  toRequest(scheme: "http" | "https", host: string, init: RequestInit): Request {
    const { method, url, rawHeaders } = this;
    const path = url.startsWith("/") ? url : url.replace(/^[a-z]+:\/\/[^/?]*/i, "");
    if (!/^([/?]|$)/.test(path)) throw new TypeError("a request must name a path");
    const headers = new Headers();
    for (let at = 0; at < rawHeaders.length; at += 2) {
      headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
    }
    return new Request(`${scheme}://${host}${path}`, { ...init, method, headers });
  }
}

/** Whether `text` is a host name or an address, with or without a port (RFC 3986, 3.2), and has no user part. */
export function isHost(text: string): boolean {
  return /^(?:[\w.~!$&'()*+,;=%-]+|\[[\w:.]+\])(?::\d*)?$/.test(text);
}

function isNamed(header: string | undefined, name: string): boolean {
  return (
    header !== undefined &&
    header.length === name.length &&
    (header === name || header.toLowerCase() === name)
  );
}
