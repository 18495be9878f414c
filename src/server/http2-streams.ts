import {
  constants,
  type Http2SecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { EmitLimitEvent } from "./limits.ts";

/** What sessions emit, with the arguments of "stream", for each that is still there a turn after it came. */
export const LASTING_STREAM = Symbol("lasting stream");

type StreamArguments = [
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
];
type StreamListener = (...args: StreamArguments) => void;

interface ArrivalOptions {
  /** So many requests were taken back before the turn in which they came was over. */
  readonly onTakenBack: (count: number) => void;
  /** So many in one turn that the rest of it is not to be looked at. */
  readonly onRapidReset: () => void;
}

/** More than clients of good will take back in the breath in which they ask, and little enough work. */
const MAX_IN_ONE_TURN = 50;

/**
 * Puts off by a turn of the event loop all that is made of a stream. Who attacks by rapid reset sends a request and its end
 * together, and to make a request of each costs six times what the parser itself does.
 */
export function watchArrivals(session: ServerHttp2Session, options: ArrivalOptions): void {
  const { onTakenBack, onRapidReset } = options;
  let arrived: StreamArguments[] = [];
  const settle = () => {
    const settled = arrived;
    arrived = [];
    const lasting = settled.filter(([stream]) => !stream.destroyed);
    if (lasting.length < settled.length) onTakenBack(settled.length - lasting.length);
    // What is done for one may end those that follow.
    for (const args of lasting) if (!args[0].destroyed) session.emit(LASTING_STREAM, ...args);
  };
  session.on("stream", (...args: StreamArguments) => {
    // What breaks is the client's business; without a listener it would end the process.
    args[0].on("error", () => {});
    if (arrived.push(args) === 1) setImmediate(settle);
    if (arrived.length % MAX_IN_ONE_TURN > 0) return;
    if (arrived.filter(([stream]) => stream.destroyed).length >= MAX_IN_ONE_TURN) onRapidReset();
  });
}

/** Whether the client has ended the stream's request: with its headers, its body, or its trailers. */
export function hasArrived({ destroyed, state }: ServerHttp2Stream): boolean {
  return destroyed || state.remoteClose === 1;
}

/**
 * Ends a request whose stream ended before the request was made of it: that is told only once. To be called before
 * anything reads the request.
 */
export function endIfStreamEnded(request: Http2ServerRequest): void {
  if (request.stream.readableEnded) request.push(null);
}

interface StreamReset {
  /** Of HTTP/2. */
  readonly code: number;
  /** Of HTTP, for a client that has no response yet; to a gRPC client it is UNAVAILABLE. */
  readonly status: number;
}

/** From `grpc.status`. */
const GRPC_UNAVAILABLE = "14";

/**
 * Ends a stream for both sides. With a response before it where there was none yet: Bun sends an empty DATA frame with
 * each reset, and DATA that no headers came before is an error of the connection to clients, which then lose all other
 * streams of it.
 */
export function resetStream(
  stream: ServerHttp2Stream,
  request: IncomingHttpHeaders,
  { code, status }: StreamReset,
): void {
  if (stream.destroyed || stream.closed) return;
  const type = request["content-type"];
  const isGrpc = type?.startsWith("application/grpc") === true && !type.startsWith("application/grpc-web");
  if (!stream.headersSent) {
    const response = isGrpc
      ? { ":status": 200, "content-type": "application/grpc", "grpc-status": GRPC_UNAVAILABLE }
      : { ":status": status };
    stream.respond(response, { endStream: true });
  }
  stream.close(code);
}

/** Has the server make its requests of lasting streams alone. To be called once it has its listener of requests. */
export function deferRequests(server: Http2Server | Http2SecureServer): void {
  const makers = server.listeners("stream") as StreamListener[];
  server.removeAllListeners("stream");
  server.on("session", (session: ServerHttp2Session) => {
    session.on(LASTING_STREAM, (...args: StreamArguments) => {
      for (const make of makers) Reflect.apply(make, server, args);
    });
  });
}

interface ArrivingRequestsOptions {
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
