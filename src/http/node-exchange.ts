import { once } from "node:events";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { Exchange } from "./exchange.ts";

/** One request and its answer by `node:http2`. */
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

  /** Aborted when the client goes before it has its answer. */
  get signal(): AbortSignal {
    return this.#gone.signal;
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
   * Over HTTP/2: what was written is on its way, and the stream is closed. A request that was answered before its end is
   * not waited for.
   */
  async sent(): Promise<void> {
    const { stream, httpVersionMajor, complete } = this.#request;
    if (httpVersionMajor === 1 || stream === undefined || stream.closed) return;
    if (!complete) stream.close(constants.NGHTTP2_NO_ERROR);
    else await once(stream, "close");
  }

  limitTo(ms: number): void {
    clearTimeout(this.#deadline);
    if (ms > 0 && !this.#isOver) this.#deadline = setTimeout(() => this.cut(), ms).unref();
  }

  /** Ends the stream, or the connection where there is but one answer at a time. */
  cut(): void {
    this.#gone.abort(new Error("it took too long"));
    if (this.#request.httpVersionMajor === 1) this.#request.socket?.destroy();
    // Where the client reset it, there is no stream any more.
    else this.#request.stream?.close();
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
  }
}
