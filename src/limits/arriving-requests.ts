import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { hasArrived, LASTING_STREAM } from "./arriving-streams.ts";
import type { EmitLimitEvent } from "./events.ts";

export interface ArrivingRequestsOptions {
  /** From the headers of a request to its end. */
  readonly timeoutMs: number;
  readonly emit: EmitLimitEvent;
}

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
  readonly #arriving = new Map<ServerHttp2Stream, NodeJS.Timeout>();

  constructor(options: ArrivingRequestsOptions) {
    this.#options = options;
  }

  watch(session: ServerHttp2Session): void {
    const ofSession = new Set<ServerHttp2Stream>();
    session.on(LASTING_STREAM, (stream: ServerHttp2Stream) => {
      if (!hasArrived(stream)) this.#expect(stream, ofSession);
    });
    session.once("close", () => {
      for (const stream of ofSession) this.#forget(stream, ofSession);
    });
  }

  /** Shutdown: what has not even been asked yet is not waited for. */
  resetAll(): void {
    for (const stream of this.#arriving.keys()) {
      if (!hasArrived(stream)) stream.close(constants.NGHTTP2_REFUSED_STREAM);
    }
  }

  #expect(stream: ServerHttp2Stream, ofSession: Set<ServerHttp2Stream>): void {
    const late = () => {
      this.#forget(stream, ofSession);
      this.#reset(stream, "body-timeout-in-s");
    };
    this.#arriving.set(stream, setTimeout(late, this.#options.timeoutMs).unref());
    ofSession.add(stream);
    const over = () => this.#forget(stream, ofSession);
    stream.once("end", over);
    stream.once("close", over);
    if (ofSession.size > MAX_PER_CONNECTION) this.#resetOldest(ofSession);
    else if (this.#arriving.size > MAX_IN_ALL) this.#resetOldest(this.#arriving.keys());
  }

  #resetOldest(streams: Iterable<ServerHttp2Stream>): void {
    for (const stream of streams) {
      // A request that has come and that nobody has read yet tells nothing of its end.
      if (hasArrived(stream)) continue;
      this.#reset(stream, "arriving-requests");
      return;
    }
  }

  #reset(stream: ServerHttp2Stream, limit: "body-timeout-in-s" | "arriving-requests"): void {
    if (hasArrived(stream)) return;
    this.#options.emit({ kind: "limit_reached", limit });
    stream.close(constants.NGHTTP2_CANCEL);
  }

  #forget(stream: ServerHttp2Stream, ofSession: Set<ServerHttp2Stream>): void {
    clearTimeout(this.#arriving.get(stream));
    this.#arriving.delete(stream);
    ofSession.delete(stream);
  }
}
