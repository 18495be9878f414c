import type {
  Http2SecureServer,
  Http2Server,
  Http2ServerRequest,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from "node:http2";

/** What sessions emit, with the arguments of "stream", for each that is still there a turn after it came. */
export const LASTING_STREAM = Symbol("lasting stream");

type StreamArguments = [
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
];
type StreamListener = (...args: StreamArguments) => void;

export interface ArrivalOptions {
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

export interface StreamReset {
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
