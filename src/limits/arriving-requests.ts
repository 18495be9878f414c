import {
  constants,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { hasArrived, LASTING_STREAM, resetStream, type StreamReset } from "./arriving-streams.ts";
import type { EmitLimitEvent } from "./events.ts";

export interface ArrivingRequestsOptions {
  /** From the headers of a request to its end. */
  readonly timeoutMs: number;
  readonly emit: EmitLimitEvent;
}

interface Arriving {
  /** Those of its connection. */
  readonly ofSession: Set<ServerHttp2Stream>;
  readonly headers: IncomingHttpHeaders;
  readonly deadline: NodeJS.Timeout;
}

const LATE: StreamReset = { code: constants.NGHTTP2_CANCEL, status: 408 };
const NO_ROOM: StreamReset = { code: constants.NGHTTP2_CANCEL, status: 503 };
const SHUTTING_DOWN: StreamReset = { code: constants.NGHTTP2_REFUSED_STREAM, status: 503 };

/** Proxies send the requests of many clients on one connection, but each of them whole, or nearly so. */
const MAX_PER_CONNECTION = 256;

/** Of one port. Each costs some kilobytes beside what has come of its body. */
const MAX_IN_ALL = 4_096;

/**
 * Requests over HTTP/2 whose end has not come yet. Each must end in time: one without an end would keep its connection
 * open for ever. Where more arrive at once than may, the one that has taken longest is reset: it is the one that is
 * least likely to end, and a client that never ends its requests must not take the place of those that do.
 */
export class ArrivingRequests {
  readonly #options: ArrivingRequestsOptions;
  readonly #arriving = new Map<ServerHttp2Stream, Arriving>();

  constructor(options: ArrivingRequestsOptions) {
    this.#options = options;
  }

  watch(session: ServerHttp2Session): void {
    const ofSession = new Set<ServerHttp2Stream>();
    session.on(LASTING_STREAM, (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      if (!hasArrived(stream)) this.#expect(stream, headers, ofSession);
    });
    session.once("close", () => {
      for (const stream of [...ofSession]) this.#forget(stream);
    });
  }

  /** Shutdown: what has not even been asked yet is not waited for. */
  resetAll(): void {
    for (const stream of [...this.#arriving.keys()]) this.#reset(stream, SHUTTING_DOWN);
  }

  #expect(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ofSession: Set<ServerHttp2Stream>): void {
    const late = () => {
      if (this.#reset(stream, LATE)) this.#reached("body-timeout-in-s");
    };
    const deadline = setTimeout(late, this.#options.timeoutMs).unref();
    this.#arriving.set(stream, { ofSession, headers, deadline });
    ofSession.add(stream);
    const over = () => this.#forget(stream);
    stream.once("end", over);
    stream.once("close", over);
    if (ofSession.size > MAX_PER_CONNECTION) this.#resetOldest(ofSession);
    else if (this.#arriving.size > MAX_IN_ALL) this.#resetOldest(this.#arriving.keys());
  }

  #resetOldest(streams: Iterable<ServerHttp2Stream>): void {
    for (const stream of streams) {
      // A request that has come and that nobody has read yet says nothing of its client.
      if (!this.#reset(stream, NO_ROOM)) continue;
      this.#reached("arriving-requests");
      return;
    }
  }

  /** False if the request has arrived meanwhile. */
  #reset(stream: ServerHttp2Stream, reset: StreamReset): boolean {
    const arriving = this.#arriving.get(stream);
    if (arriving === undefined || hasArrived(stream)) return false;
    this.#forget(stream);
    resetStream(stream, arriving.headers, reset);
    return true;
  }

  #reached(limit: "body-timeout-in-s" | "arriving-requests"): void {
    this.#options.emit({ kind: "limit_reached", limit });
  }

  #forget(stream: ServerHttp2Stream): void {
    const arriving = this.#arriving.get(stream);
    if (arriving === undefined) return;
    clearTimeout(arriving.deadline);
    this.#arriving.delete(stream);
    arriving.ofSession.delete(stream);
  }
}
