import { once } from "node:events";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { hasArrived, resetStream } from "../server/http2-streams.ts";
import { RESPONSE_TIMEOUT_MS, type RequestContext } from "./exchange.ts";
import { isHost } from "./http1/exchange.ts";
import { readSlices, readUntilGone, toContent } from "./response-content.ts";

/** One request and its response over HTTP/2. */
export class Http2Exchange implements RequestContext, Disposable {
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

/** What of a request's way is known when it is turned into the web standard's. */
interface Arrival {
  /** Aborted when the client goes. */
  readonly signal: AbortSignal;
  readonly hasArrived: boolean;
}

/** A request over HTTP/2 as the web standard has it. Throws a TypeError on one that that has not. */
export function toWebRequest(request: Http2ServerRequest, arrival: Arrival): Request {
  const { method = "GET", url = "/" } = request;
  const authority = request.authority || onlyHost(request);
  if (!isHost(authority)) throw new TypeError("a request must name a host");
  const isEmpty = arrival.hasArrived && request.stream.readableEnded;
  const hasBody = method !== "GET" && method !== "HEAD" && !isEmpty;
  return new Request(`https://${authority}${url.startsWith("/") ? url : "/"}`, {
    method,
    headers: headersOf(request),
    signal: arrival.signal,
    ...(hasBody && { body: bodyOf(request, arrival.signal), duplex: "half" }),
  });
}

/** For a client that sends Host in place of `:authority` (RFC 9113, 8.3.1). */
function onlyHost({ rawHeaders, headers: { host } }: Http2ServerRequest): string {
  const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "host").length;
  if (hosts !== 1 || !host) throw new TypeError("a request must have one Host");
  return host;
}

function headersOf({ headers: received }: Http2ServerRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(received)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const each of [value].flat()) headers.append(name, each);
  }
  return headers;
}

/** Read when it is asked for, until nobody wants more of it; how long it may be is for the reader to say. */
function bodyOf(request: Http2ServerRequest, gone: AbortSignal): ReadableStream<Uint8Array> {
  let isRead = false;
  let isOver = false;
  const read = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    gone.addEventListener("abort", () => controller.error(gone.reason), { once: true });
    request.once("end", () => {
      if (isOver || gone.aborted) return;
      // A request that was reset ends as well; what came of it must not be taken for all of it.
      if (request.stream.rstCode) controller.error(new Error("the request was reset"));
      else controller.close();
    });
    request.on("data", (chunk: Buffer<ArrayBuffer>) => {
      if (!isOver && !gone.aborted) controller.enqueue(chunk);
    });
  };
  return new ReadableStream(
    {
      pull(controller) {
        if (!isRead) read(controller);
        isRead = true;
      },
      cancel() {
        isOver = true;
        request.pause();
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * Sends a web standard Response over HTTP/2. A slow client holds one slice of it, not a copy; one that has not taken
 * a slice for too long is cut. Rejects when the client goes.
 */
export async function sendHttp2Response(
  response: Response,
  to: Http2ServerResponse,
  { isHead, exchange }: { readonly isHead: boolean; readonly exchange: Http2Exchange },
): Promise<void> {
  to.statusCode = response.status;
  response.headers.forEach((value, name) => void to.setHeader(name, value));
  const content = await toContent(response);
  if (content.kind === "stream") {
    await writeAll(readUntilGone(content.stream, exchange.signal), to, exchange);
    return;
  }
  const { size } = content;
  // hono leaves the body of an answer to HEAD away, and with it its length.
  const isUntold = response.status === 304 || (isHead && size === 0);
  if (!isUntold && !response.headers.has("content-length")) to.setHeader("content-length", String(size));
  if (isHead || size === 0) to.end();
  else await writeAll(limited(readSlices(content.content, false), exchange), to, exchange);
}

/** Not by `pipeline`, which would wait for the end of a request of which nobody wants the rest. */
async function writeAll(
  parts: AsyncIterable<Uint8Array>,
  to: Http2ServerResponse,
  { signal }: Http2Exchange,
): Promise<void> {
  for await (const part of parts) {
    if (!to.write(part)) await once(to, "drain", { signal });
  }
  to.end();
}

async function* limited(
  slices: AsyncIterable<Uint8Array>,
  exchange: Http2Exchange,
): AsyncGenerator<Uint8Array> {
  for await (const slice of slices) {
    exchange.limitTo(RESPONSE_TIMEOUT_MS);
    yield slice;
  }
}
