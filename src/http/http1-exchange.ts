import type { Exchange } from "./exchange.ts";
import { IncomingBody } from "./http1-body.ts";
import type { Http1Head } from "./http1-request.ts";
import { CONTINUE, type Http1ResponseTarget } from "./http1-response.ts";

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
export class Http1Exchange implements Exchange, Http1ResponseTarget {
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
