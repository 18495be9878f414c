import {
  constants,
  type Http2SecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { SharedBudget } from "../platform/shared-budget.ts";
import type { EmitLimitEvent } from "./limits.ts";

/**
 * The event that sessions emit, with the arguments of "stream", for each stream that is still open one event-loop turn after
 * it arrived.
 */
export const LASTING_STREAM = Symbol("lasting stream");

type StreamArguments = [
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
];
type StreamListener = (...args: StreamArguments) => void;

/** Takes a stream that is to be served without request and response objects. Returns false for others. */
export type AcceptStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

interface ArrivalOptions {
  /** Called with the number of requests that were cancelled in the turn in which they arrived. */
  readonly onCancelled: (count: number) => void;
  /** Called when one turn has too many cancellations to process the rest of it. */
  readonly onRapidReset: () => void;
}

/** More than normal clients cancel in the turn in which they send, and little enough work. */
const MAX_CANCELLED_PER_TURN = 50;

/** One function for all streams. */
const ignore = (): void => {};

/**
 * Delays all work on a stream by one turn of the event loop. A rapid-reset attack sends a request and its reset together, and
 * creating a request object costs six times as much as parsing does.
 */
export function watchArrivals(session: ServerHttp2Session, options: ArrivalOptions): void {
  const { onCancelled, onRapidReset } = options;
  let arrived: StreamArguments[] = [];
  const processArrived = () => {
    const streams = arrived;
    arrived = [];
    const lasting = streams.filter(([stream]) => !stream.destroyed);
    if (lasting.length < streams.length) onCancelled(streams.length - lasting.length);
    // Handling one stream may close those that follow.
    for (const args of lasting) if (!args[0].destroyed) session.emit(LASTING_STREAM, ...args);
  };
  session.on("stream", (...args: StreamArguments) => {
    // Without a listener, an error of a client's stream would end the process.
    args[0].on("error", ignore);
    if (arrived.push(args) === 1) setImmediate(processArrived);
    if (arrived.length % MAX_CANCELLED_PER_TURN > 0) return;
    if (arrived.filter(([stream]) => stream.destroyed).length >= MAX_CANCELLED_PER_TURN) onRapidReset();
  });
}

/** Whether the client has ended the request, with its headers, its body or its trailers. */
export function hasArrived({ destroyed, state }: ServerHttp2Stream): boolean {
  return destroyed || state.remoteClose === 1;
}

/**
 * Ends a request whose stream ended before the request was created, since the end is reported only once. Must be called
 * before anything reads the request.
 */
export function endIfStreamEnded(request: Http2ServerRequest): void {
  if (request.stream.readableEnded) request.push(null);
}

interface StreamReset {
  /** The HTTP/2 error code. */
  readonly code: number;
  /** The HTTP status for a client that has no response yet. A gRPC client gets UNAVAILABLE. */
  readonly status: number;
}

/** `status.UNAVAILABLE` of gRPC. */
const GRPC_UNAVAILABLE = "14";

/**
 * Closes a stream for both sides, after a response if there was none. Bun sends an empty DATA frame with each reset, and
 * clients treat DATA before any headers as a connection error: they would lose all other streams.
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

/**
 * Makes the server create requests for lasting streams only, and not for those that `accept` takes. Must be called after its
 * request listener is added.
 */
export function deferRequests(
  server: Http2Server | Http2SecureServer,
  accept: AcceptStream | undefined,
): void {
  const makers = server.listeners("stream") as StreamListener[];
  server.removeAllListeners("stream");
  server.on("session", (session: ServerHttp2Session) => {
    session.on(LASTING_STREAM, (...args: StreamArguments) => {
      if (accept?.(args[0], args[1]) === true) return;
      for (const make of makers) Reflect.apply(make, server, args);
    });
  });
}

interface ArrivingRequestsOptions {
  /** From the headers of a request to its end. */
  readonly timeoutMs: number;
  readonly budget: SharedBudget;
  readonly emit: EmitLimitEvent;
}

interface Arriving {
  /** The arriving requests of its connection. */
  readonly ofSession: Set<ServerHttp2Stream>;
  readonly headers: IncomingHttpHeaders;
  readonly deadline: NodeJS.Timeout;
  /** Whether it takes a part of the budget. */
  isCounted: boolean;
}

const LATE: StreamReset = { code: constants.NGHTTP2_CANCEL, status: 408 };
const EVICTED: StreamReset = { code: constants.NGHTTP2_CANCEL, status: 503 };
const SHUTTING_DOWN: StreamReset = { code: constants.NGHTTP2_REFUSED_STREAM, status: 503 };

/** Proxies send the requests of many clients on one connection, but each one complete or nearly so. */
const MAX_PER_CONNECTION = 256;

/**
 * The most requests that may be arriving at a port, on all threads together. Each costs some kilobytes beside the bytes of its
 * body.
 */
export const MAX_ARRIVING_REQUESTS = 4_096;

/**
 * HTTP/2 requests that are not complete. Each must end in time, since a request without an end would keep its connection open
 * for ever. Above the limit, the one that has been arriving longest at this thread is reset: it is the least likely to end, and
 * clients that never end their requests must not displace the others.
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
      if (!hasArrived(stream)) this.#add(stream, headers, ofSession);
    });
    session.once("close", () => {
      for (const stream of [...ofSession]) this.#remove(stream);
    });
  }

  /** Resets all of them on shutdown: incomplete requests are not waited for. */
  resetAll(): void {
    for (const stream of [...this.#arriving.keys()]) this.#reset(stream, SHUTTING_DOWN);
  }

  #add(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ofSession: Set<ServerHttp2Stream>): void {
    const late = () => {
      if (this.#reset(stream, LATE)) this.#emitLimit("body-timeout-in-s");
    };
    const deadline = setTimeout(late, this.#options.timeoutMs).unref();
    const arriving: Arriving = { ofSession, headers, deadline, isCounted: false };
    this.#arriving.set(stream, arriving);
    ofSession.add(stream);
    const over = () => this.#remove(stream);
    stream.once("end", over);
    stream.once("close", over);
    if (ofSession.size > MAX_PER_CONNECTION) this.#resetOldest(ofSession);
    // At the latest, the new one itself is reset.
    while (this.#arriving.has(stream) && !arriving.isCounted) {
      arriving.isCounted = this.#options.budget.tryTake(1);
      if (!arriving.isCounted) this.#resetOldest(this.#arriving.keys());
    }
  }

  #resetOldest(streams: Iterable<ServerHttp2Stream>): void {
    for (const stream of streams) {
      // A request that is complete but not read yet says nothing about its client.
      if (!this.#reset(stream, EVICTED)) continue;
      this.#emitLimit("arriving-requests");
      return;
    }
  }

  /** Returns false if the request is complete by now. */
  #reset(stream: ServerHttp2Stream, reset: StreamReset): boolean {
    const arriving = this.#arriving.get(stream);
    if (arriving === undefined || hasArrived(stream)) return false;
    this.#remove(stream);
    resetStream(stream, arriving.headers, reset);
    return true;
  }

  #emitLimit(limit: "body-timeout-in-s" | "arriving-requests"): void {
    this.#options.emit({ kind: "limit_reached", limit });
  }

  #remove(stream: ServerHttp2Stream): void {
    const arriving = this.#arriving.get(stream);
    if (arriving === undefined) return;
    clearTimeout(arriving.deadline);
    this.#arriving.delete(stream);
    arriving.ofSession.delete(stream);
    if (arriving.isCounted) this.#options.budget.giveBack(1);
  }
}
