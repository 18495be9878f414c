import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";

interface Http2Request {
  readonly method: "GET" | "HEAD" | "POST";
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | undefined;
}

interface Http2ClientOptions {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Whether a connection is used for more than one request. */
  readonly reusesConnections: boolean;
}

/** The rest of a short body that is not wanted is read, since a reset would cost the connection. */
const MAX_DRAINED_BYTES = 64 * 1024;

/** The rest is not waited for longer than this while nothing of it arrives. */
const DRAIN_MS = 5_000;

/** A connection without requests is closed after this time. */
const IDLE_MS = 30_000;

/** A session that carries one request at a time: on Bun, a request fails while another one of its session is paused or was reset. */
interface Connection {
  readonly session: ClientHttp2Session;
  isBusy: boolean;
  /** Why the connection failed. The error of its request says less. */
  failure: Error | undefined;
}

/**
 * Sends requests by HTTP/2: in plaintext with prior knowledge (RFC 9113, 3.3), which `fetch` does not support. Like `fetch`, it
 * rejects with an error that has a `code`, or with the reason of the signal, and returns the response as soon as it has headers.
 *
 * A request that fails on a connection that was idle is sent once more, over a new one: a GET or HEAD always, a POST only if
 * upstream refused it unprocessed (RFC 9113, 8.7), so that no log event arrives twice because of it.
 */
export class Http2Client {
  readonly #options: Http2ClientOptions;
  readonly #connections = new Set<Connection>();

  constructor(options: Http2ClientOptions) {
    this.#options = options;
  }

  async send(request: Http2Request, signal: AbortSignal): Promise<Response> {
    signal.throwIfAborted();
    const idle = this.#findIdle();
    if (idle === undefined) return this.#sendOver(this.#connect(), request, signal);
    try {
      return await this.#sendOver(idle, request, signal);
    } catch (error) {
      // Upstream may have closed the idle connection just then. One that was closed before is not used (#findIdle).
      signal.throwIfAborted();
      this.#retire(idle);
      if (request.method === "POST" && !(error instanceof RefusedUnprocessed)) throw error;
      return this.#sendOver(this.#connect(), request, signal);
    }
  }

  #sendOver(connection: Connection, request: Http2Request, signal: AbortSignal): Promise<Response> {
    const { method, path, headers, body } = request;
    const stream = connection.session.request(
      { ...headers, ":method": method, ":path": path },
      { endStream: body === undefined },
    );
    connection.isBusy = true;
    const reset = () => {
      this.#connections.delete(connection);
      // Not closed in order: the peer may be gone.
      connection.session.destroy();
    };
    signal.addEventListener("abort", reset, { once: true });
    stream.once("close", () => {
      signal.removeEventListener("abort", reset);
      connection.isBusy = false;
      if (!this.#options.reusesConnections) this.#retire(connection);
    });
    if (body !== undefined) stream.end(body);
    return toResponse(stream, { connection, signal, reset, isHead: method === "HEAD" });
  }

  #findIdle(): Connection | undefined {
    for (const connection of this.#connections) {
      const { session, isBusy } = connection;
      if (!isBusy && !session.closed && !session.destroyed) return connection;
    }
    return undefined;
  }

  #connect(): Connection {
    const session = connect(this.#options.origin);
    const connection: Connection = { session, isBusy: false, failure: undefined };
    this.#connections.add(connection);
    session.on("error", (error) => {
      connection.failure = error;
    });
    session.on("goaway", () => this.#retire(connection));
    session.on("close", () => this.#connections.delete(connection));
    session.setTimeout(IDLE_MS, () => {
      if (!connection.isBusy) this.#retire(connection);
    });
    session.unref();
    return connection;
  }

  /** Sends no more requests over the connection. The one in flight ends as usual. */
  #retire(connection: Connection): void {
    this.#connections.delete(connection);
    connection.session.close();
  }
}

/** Upstream reset the stream by REFUSED_STREAM: it has not processed the request. */
class RefusedUnprocessed extends Error {
  readonly code = "ECONNRESET";
}

interface Exchange {
  readonly connection: Connection;
  readonly signal: AbortSignal;
  /** Cancels the request. */
  readonly reset: () => void;
  readonly isHead: boolean;
}

/** Resolves when the headers of the response have arrived. */
function toResponse(
  stream: ClientHttp2Stream,
  { connection, isHead, ...exchange }: Exchange,
): Promise<Response> {
  const { signal } = exchange;
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  let failure: Error | undefined;
  stream.on("error", (error) => {
    failure = error;
  });
  // Has no effect after a response.
  stream.once("close", () => {
    if (signal.aborted) reject(signal.reason);
    else if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM)
      reject(new RefusedUnprocessed("upstream refused the request unprocessed"));
    else reject(connection.failure ?? failure ?? brokenOff());
  });
  stream.once("response", ({ ":status": status = 0, ...fields }) => {
    const headers = toHeaders(fields);
    const hasNoBody = isHead || status === 204 || status === 304;
    if (hasNoBody) stream.resume();
    const body = hasNoBody ? null : toBody(stream, headers.get("content-length"), exchange);
    resolve(new Response(body, { status, headers }));
  });
  return promise;
}

function toHeaders(fields: Readonly<Record<string, string | string[] | undefined>>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(fields)) {
    for (const each of [value ?? []].flat()) if (!name.startsWith(":")) headers.append(name, String(each));
  }
  return headers;
}

/** Fails if the stream ends early, or before the announced length. Reads no faster than its consumer. */
function toBody(
  stream: ClientHttp2Stream,
  announced: string | null,
  { signal, reset }: Pick<Exchange, "signal" | "reset">,
): ReadableStream<Uint8Array> {
  let received = 0;
  let isOver = false;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const over = (act: () => void) => {
        if (isOver) return;
        isOver = true;
        act();
      };
      const fail = (error: Error) => over(() => controller.error(signal.aborted ? signal.reason : error));
      stream.on("data", (chunk: Uint8Array) => {
        received += chunk.length;
        if (isOver) {
          if (received > MAX_DRAINED_BYTES) reset();
          return;
        }
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) stream.pause();
      });
      let hasEnded = false;
      stream.once("end", () => {
        hasEnded = true;
        if (received === Number(announced ?? Number.NaN)) over(() => controller.close());
      });
      stream.on("error", fail);
      // Also a stream that was reset emits `end`, and has its code only now.
      stream.once("close", () => {
        const isWhole = hasEnded && announced === null && stream.rstCode === constants.NGHTTP2_NO_ERROR;
        if (isWhole) over(() => controller.close());
        else fail(brokenOff());
      });
    },
    pull() {
      stream.resume();
    },
    cancel() {
      isOver = true;
      if (received > MAX_DRAINED_BYTES) return reset();
      // No limit of the request applies any longer.
      stream.setTimeout(DRAIN_MS, reset);
      stream.resume();
    },
  });
}

function brokenOff(): Error {
  return Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" });
}
