import { once } from "node:events";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { hasArrived, resetStream } from "../limits/arriving-streams.ts";
import type { Exchange } from "./exchange.ts";

/** One request and its response over HTTP/2. */
export class NodeExchange implements Exchange, Disposable {
  readonly #request: Http2ServerRequest;
  readonly #gone = new AbortController();
  #deadline: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(request: Http2ServerRequest, response: Http2ServerResponse) {
    this.#request = request;
    const gone = () => this.#gone.abort(new Error("the client went"));
    request.once("aborted", gone);
    response.once("close", () => {
      if (!response.writableEnded) gone();
    });
    for (const stream of [request, response]) stream.on("error", gone);
  }

  /** Aborted when the client goes before it has its response. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get headerCount(): number {
    return this.#request.rawHeaders.length / 2;
  }

  /** Whether the client has sent all of its request. */
  get hasArrived(): boolean {
    return hasArrived(this.#request.stream);
  }

  /** Rejects when the client goes before the work is done: writes to a stream that was reset never settle. */
  async unlessGone<T>(work: T | Promise<T>): Promise<T> {
    const { signal } = this;
    signal.throwIfAborted();
    const gone = Promise.withResolvers<never>();
    const give = () => gone.reject(signal.reason);
    signal.addEventListener("abort", give, { once: true });
    try {
      return await Promise.race([work, gone.promise]);
    } finally {
      signal.removeEventListener("abort", give);
    }
  }

  /**
   * What was written is on its way, and the stream is closed. The rest of a request that was answered before its end is
   * not waited for: the client is told to stop sending it (RFC 9113, 8.1).
   */
  async sent(): Promise<void> {
    const { stream } = this.#request;
    if (stream === undefined || stream.closed) return;
    if (!this.hasArrived) {
      stream.close(constants.NGHTTP2_NO_ERROR);
      return;
    }
    const closed = once(stream, "close");
    // A body that nobody read would keep the stream from closing.
    stream.resume();
    await closed;
  }

  limitTo(ms: number): void {
    clearTimeout(this.#deadline);
    if (ms > 0 && !this.#isOver) this.#deadline = setTimeout(() => this.cut(), ms).unref();
  }

  /** Ends the stream. */
  cut(): void {
    this.#gone.abort(new Error("it took too long"));
    const { stream, headers } = this.#request;
    // Where the client reset it, there is no stream any more.
    if (stream !== undefined) resetStream(stream, headers, { code: constants.NGHTTP2_CANCEL, status: 503 });
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
  }
}
