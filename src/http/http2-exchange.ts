import { once } from "node:events";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { ASKS_TO_STOP } from "#runtime/http2.ts";
import { untilAborted } from "../platform/abort.ts";
import { clientAddressOf } from "../platform/tcp-connection.ts";
import { hasArrived, resetStream } from "../server/http2-streams.ts";
import type { SharedFrame } from "../streams/lasting-body.ts";
import { isHost } from "./http1/exchange.ts";
import { RESPONSE_TIMEOUT_MS, type RequestContext } from "./request-context.ts";
import { readFile, readUntilAborted, sliceBytes, toContent } from "./response-content.ts";
import { StreamedResponse } from "./streams/streamed-response.ts";

/**
 * What is held of a stream's frame for a client that does not read. It fits a DATA frame of the default size; a larger slice would be
 * held for each client with a full flow-control window.
 */
const FRAME_SLICE_BYTES = 16 * 1024;

/** One request and its response over HTTP/2. */
export class Http2Exchange implements RequestContext, Disposable {
  readonly #request: Http2ServerRequest;
  readonly #gone = new AbortController();
  #deadline: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(request: Http2ServerRequest, response: Http2ServerResponse) {
    this.#request = request;
    const gone = () => this.#gone.abort(new Error("the client closed the stream"));
    request.once("aborted", gone);
    response.once("close", () => {
      if (!response.writableEnded) gone();
    });
    for (const stream of [request, response]) stream.on("error", gone);
  }

  /** Aborted when the client disconnects before it has its response. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get headerCount(): number {
    return this.#request.rawHeaders.length / 2;
  }

  get clientAddress(): string {
    return clientAddressOf(this.#request.socket);
  }

  /** Whether the client has sent all of its request. */
  get hasArrived(): boolean {
    return hasArrived(this.#request.stream);
  }

  /** Settles as `work` does, but rejects when the client disconnects: writes to a stream that was reset never settle. */
  async untilGone<T>(work: T | Promise<T>): Promise<T> {
    return untilAborted(Promise.resolve(work), this.signal);
  }

  /** To be called before the response is sent, which may be before the request is complete. */
  responding(): void {
    if (!this.hasArrived && !ASKS_TO_STOP) this.#request.resume();
  }

  /**
   * Waits until the stream is closed. If the request is not complete, the stream is closed at once with NO_ERROR, which asks
   * the client to stop sending (RFC 9113, 8.1).
   */
  async sent(): Promise<void> {
    const { stream } = this.#request;
    if (stream === undefined || stream.closed) return;
    if (!this.hasArrived && ASKS_TO_STOP) {
      stream.close(constants.NGHTTP2_NO_ERROR);
      return;
    }
    const closed = once(stream, "close");
    // An unread body would keep the stream from closing.
    stream.resume();
    await closed;
  }

  setDeadline(ms: number): void {
    clearTimeout(this.#deadline);
    if (ms > 0 && !this.#isOver) this.#deadline = setTimeout(() => this.cut(), ms).unref();
  }

  /** Nothing is to be done: every request ends its half of the stream, and a client that goes resets it or closes the connection. */
  endWithInput(): void {}

  /** Resets the stream. */
  cut(): void {
    this.#gone.abort(new Error("the deadline passed"));
    const { stream, headers } = this.#request;
    // After a reset by the client there is no stream.
    if (stream !== undefined) resetStream(stream, headers, { code: constants.NGHTTP2_CANCEL, status: 503 });
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
  }
}

/** The state of a request when it is converted. */
interface RequestState {
  /** Aborted when the client disconnects. */
  readonly signal: AbortSignal;
  readonly hasArrived: boolean;
}

/** Converts a request over HTTP/2 to a web standard Request. Throws a TypeError if the standard does not allow it. */
export function toWebRequest(request: Http2ServerRequest, state: RequestState): Request {
  const { method = "GET", url = "/" } = request;
  const authority = request.authority || readHostHeader(request);
  if (!isHost(authority)) throw new TypeError("a request must name a host");
  const isEmpty = state.hasArrived && request.stream.readableEnded;
  const hasBody = method !== "GET" && method !== "HEAD" && !isEmpty;
  return new Request(`https://${authority}${url.startsWith("/") ? url : "/"}`, {
    method,
    headers: toHeaders(request),
    signal: state.signal,
    ...(hasBody && { body: toBodyStream(request, state.signal), duplex: "half" }),
  });
}

/** Returns the Host header of a client that sends it in place of `:authority` (RFC 9113, 8.3.1). */
function readHostHeader({ rawHeaders, headers: { host } }: Http2ServerRequest): string {
  const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "host").length;
  if (hosts !== 1 || !host) throw new TypeError("a request must have one Host");
  return host;
}

function toHeaders({ headers: received }: Http2ServerRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(received)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const each of [value].flat()) headers.append(name, each);
  }
  return headers;
}

/** Streams the body on demand. Limits on its length are left to the reader. */
function toBodyStream(request: Http2ServerRequest, gone: AbortSignal): ReadableStream<Uint8Array> {
  let isRead = false;
  let isOver = false;
  const read = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    gone.addEventListener("abort", () => controller.error(gone.reason), { once: true });
    request.once("end", () => {
      if (isOver || gone.aborted) return;
      // A request that was reset ends as well. Its body must not look complete.
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
 * Sends a web standard Response over HTTP/2. For a slow client one slice of the body is held, and no copy of it. The stream is
 * reset if the client does not take a slice within RESPONSE_TIMEOUT_MS. Rejects when the client disconnects.
 */
export async function sendHttp2Response(
  response: Response,
  to: Http2ServerResponse,
  { isHead, exchange }: { readonly isHead: boolean; readonly exchange: Http2Exchange },
): Promise<void> {
  to.statusCode = response.status;
  response.headers.forEach((value, name) => void to.setHeader(name, value));
  if (response instanceof StreamedResponse) {
    await response.lasting.writeTo({ write: (frame) => writeFrame(frame, to, exchange) });
    to.end();
    return;
  }
  const content = await toContent(response);
  if (content.kind === "stream") {
    await writeAll(readUntilAborted(content.stream, exchange.signal), to, exchange);
    return;
  }
  const { size } = content;
  // Hono removes the body of a response to HEAD, and with it its length.
  const hasNoLength = response.status === 304 || (isHead && size === 0);
  if (!hasNoLength && !response.headers.has("content-length")) to.setHeader("content-length", String(size));
  if (isHead || size === 0) {
    to.end();
    return;
  }
  const slices = content.kind === "bytes" ? sliceBytes(content.bytes) : readFile(content.file, false);
  await writeAll(withDeadlines(slices, exchange), to, exchange);
}

/** Has a deadline for each slice, and none between two frames. */
async function writeFrame(
  frame: SharedFrame,
  to: Http2ServerResponse,
  exchange: Http2Exchange,
): Promise<void> {
  for (const part of frame) {
    for (const slice of sliceBytes(part, FRAME_SLICE_BYTES)) {
      exchange.setDeadline(RESPONSE_TIMEOUT_MS);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      to.write(slice, (error) => (error ? reject(error) : resolve()));
      await promise;
    }
  }
  exchange.setDeadline(0);
}

/** `pipeline` would wait for the end of a request whose rest is not read. */
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

async function* withDeadlines(
  slices: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  exchange: Http2Exchange,
): AsyncGenerator<Uint8Array> {
  for await (const slice of slices) {
    exchange.setDeadline(RESPONSE_TIMEOUT_MS);
    yield slice;
  }
}
