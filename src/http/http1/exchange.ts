import type { RequestContext } from "../exchange.ts";
import { IncomingBody } from "./body.ts";
import type { RawHead } from "./parser.ts";
import { CONTINUE, type Http1ResponseTarget } from "./response.ts";

/** What an exchange needs of its connection. */
export interface ExchangePorts {
  /** 0 for never. */
  limitTo(ms: number): void;
  readMore(): void;
  write(head: Uint8Array, body?: Uint8Array): Promise<void> | undefined;
  /** A response began that has no end. */
  streams(exchange: Http1Exchange): void;
  isDraining(): boolean;
  readonly keepAliveTimeoutS: number;
  readonly copies: boolean;
}

/** The rest of a body up to this length is read and dropped, so that the connection can be kept. */
const MAX_DROPPED_BYTES = 1024 * 1024;

/** A request over HTTP/1.1 and its response. */
export class Http1Exchange implements RequestContext, Http1ResponseTarget {
  readonly head: Http1Head;
  readonly body: IncomingBody;
  readonly #ports: ExchangePorts;
  /** Made when somebody asks for its signal: most requests are answered before. */
  #gone: AbortController | undefined;
  isStarted = false;
  isAnswered = false;
  isStreaming = false;
  #isContinued = false;
  mustClose: boolean;

  constructor(head: Http1Head, ports: ExchangePorts) {
    this.head = head;
    this.#ports = ports;
    this.body = new IncomingBody(() => ports.readMore());
    // RFC 9112, 6.1: a proxy that knows no chunks may see another end of such a request.
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

  get keepAliveTimeoutS(): number {
    return this.#ports.keepAliveTimeoutS;
  }

  get copies(): boolean {
    return this.#ports.copies;
  }

  /** Aborted when the client goes before it has its response. */
  get signal(): AbortSignal {
    this.#gone ??= new AbortController();
    return this.#gone.signal;
  }

  limitTo(ms: number): void {
    if (!this.isAnswered) this.#ports.limitTo(ms);
  }

  write(head: Uint8Array, body?: Uint8Array): Promise<void> | undefined {
    return this.#ports.write(head, body);
  }

  streams(): void {
    this.isStreaming = true;
    this.#ports.streams(this);
  }

  abort(reason: Error): void {
    this.body.fail(reason);
    this.#gone?.abort(reason);
  }

  decideClose(): boolean {
    // A client that waits for 100 Continue may never send its body, or send it: both would be right.
    const isUnclear = this.#isContinueAsked() && !this.#isContinued && !this.body.isOver;
    const isRestShort =
      !isUnclear && Number(this.head.get("content-length") ?? Number.NaN) <= MAX_DROPPED_BYTES;
    this.mustClose ||= this.#ports.isDraining() || this.isStreaming || !(this.body.isOver || isRestShort);
    return this.mustClose;
  }

  /** Undefined if the web standard does not have such a request, or it is not clear which host it is for. */
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

  /** Clients that ask whether to send their body wait for this (RFC 9110, 10.1.1). */
  #continue(): void {
    if (!this.#isContinueAsked() || this.body.isOver) return;
    this.#isContinued = true;
    void this.write(CONTINUE)?.catch(() => {});
  }

  #isContinueAsked(): boolean {
    return !this.isHttp10 && this.head.get("expect")?.toLowerCase() === "100-continue";
  }
}

/** A request as far as it is known before its body: what is needed to answer from memory. */
export interface RequestHead {
  readonly method: string;
  /** A URL, or its path and query. */
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

/** The head of a request over HTTP/1.1. Reads single headers without making all of them into a Headers. */
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

  /** `name` in lower case. Values of a name that came more than once are joined, as RFC 9110, 5.3 has it. */
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
   * The one Host, or undefined where there is none or more than one: servers in a row may go by different ones
   * (RFC 9112, 3.2). Undefined as well for what is no host: it would become a part of the path. HTTP/1.0 needs none, and probes of load balancers send none.
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

  /** Throws a TypeError on a URL, a method or a header that the web standard does not have. */
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

/** A name or an address, and a port (RFC 3986, 3.2), without a user. */
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
