import http2, {
  type Http2SecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from "node:http2";
import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { withDescriptor } from "#runtime/descriptors.ts";
import { prepareSession, WRITES_WAIT_FOR_READS } from "#runtime/http2.ts";
import type { SharedBudget } from "../platform/shared-budget.ts";
import type { SharedCount } from "../platform/shared-count.ts";
import { clientAddressOf, connectionUnder, limitUnacknowledged } from "../platform/tcp-connection.ts";
import { ConnectionLimit } from "./connection-limit.ts";
import { WriteFlusher } from "./http2-flush.ts";
import { limitSession } from "./http2-session.ts";
import { type AcceptStream, ArrivingRequests, deferRequests, endIfStreamEnded } from "./http2-streams.ts";
import type { EmitLimitEvent } from "./limits.ts";
import type { ServerTls } from "./tls.ts";

export interface Http2Limits {
  readonly maxConnections: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly maxStreamsPerConnection: number;
  readonly maxResetsPerMin: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly unreadTimeoutMs: number;
}

/** What the threads that serve a port count together. */
export interface Http2Counts {
  readonly connections: SharedCount;
  /** The HTTP/2 requests without their end, at most MAX_ARRIVING_REQUESTS. */
  readonly arrivingRequests: SharedBudget;
}

interface Http2ServerOptions {
  /** Undefined for plaintext. */
  readonly tls: ServerTls | undefined;
  /** Takes TLS connections of clients that negotiate HTTP/1.1. If undefined, these are rejected. */
  readonly onHttp1?: (socket: TLSSocket) => void;
  readonly limits: Http2Limits;
  readonly counts: Http2Counts;
  readonly idleTimeoutMs: number;
  readonly emit: EmitLimitEvent;
  readonly acceptStream?: AcceptStream;
  readonly onRequest: (request: Http2ServerRequest, response: Http2ServerResponse) => void;
}

export interface LimitedServer {
  readonly server: Http2Server | Http2SecureServer;
  readonly connections: ConnectionLimit;
  /** The open sessions, with the socket of each. */
  readonly sessions: ReadonlyMap<ServerHttp2Session, Socket>;
  readonly requests: ArrivingRequests;
}

const UNBOUNDED = 0x7fffffff;

/** Creates an HTTP/2 server that limits what each client can consume. */
export function createHttp2Server(options: Http2ServerOptions): LimitedServer {
  const { tls, onHttp1, limits, counts, idleTimeoutMs, emit } = options;
  const common = {
    settings: {
      maxConcurrentStreams: limits.maxStreamsPerConnection,
      maxHeaderListSize: limits.maxHeaderBytes,
    },
    maxHeaderListPairs: limits.maxHeaders,
    // Bun's own limit of resets would cut connections before ours does, without an event.
    streamResetBurst: UNBOUNDED,
    streamResetRate: UNBOUNDED,
  };
  const server =
    tls === undefined
      ? http2.createServer(common)
      : http2.createSecureServer({ ...common, ...tls.serverOptions, allowHTTP1: onHttp1 !== undefined });
  if (onHttp1 !== undefined) divertHttp1(server as Http2SecureServer, onHttp1);
  const { maxConnections } = limits;
  const connections = new ConnectionLimit(server as Server, {
    ...{ maxConnections, count: counts.connections, emit },
  });
  // For clients without PINGs: a response over HTTP/1.1 to a client that is gone.
  server.on("connection", (socket: Socket) =>
    withDescriptor(socket, (fd) => limitUnacknowledged(fd, limits.unreadTimeoutMs)),
  );
  if (tls !== undefined) limitHandshakes(server as Http2SecureServer, connections, options);
  tls?.secure(server as Http2SecureServer, onHttp1 === undefined ? "h2" : "h2 and http/1.1");
  if (tls === undefined) reportOtherProtocols(server as Http2Server, emit);
  server.on("request", (request, response) => {
    endIfStreamEnded(request);
    options.onRequest(request, response);
  });
  const { headerTimeoutMs, maxStreamsPerConnection: maxStreams, maxResetsPerMin } = limits;
  const requests = new ArrivingRequests({
    ...{ timeoutMs: limits.bodyTimeoutMs, budget: counts.arrivingRequests, emit },
  });
  const sessions = new Map<ServerHttp2Session, Socket>();
  // The session is created from this socket in the same turn.
  let nextSocket: Socket | undefined;
  server.prependListener(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    nextSocket = socket;
  });
  server.on("session", (session: ServerHttp2Session) => {
    if (nextSocket === undefined) throw new Error("a session without a connection");
    prepareSession(session, nextSocket);
    sessions.set(session, nextSocket);
    session.once("close", () => sessions.delete(session));
    // Without a listener, an error of a client's connection would end the process.
    session.on("error", () => {});
    requests.watch(session);
    limitSession(session, {
      socket: nextSocket,
      headerTimeoutMs,
      maxStreams,
      maxResetsPerMin,
      idleTimeoutMs,
      keepaliveTimeMs: limits.keepaliveTimeMs,
      keepaliveTimeoutMs: limits.keepaliveTimeoutMs,
      emit,
    });
  });
  deferRequests(server, options.acceptStream);
  neverIndexHeaders(server);
  if (WRITES_WAIT_FOR_READS) new WriteFlusher(sessions).watch(server);
  return { server, connections, sessions, requests };
}

/**
 * Takes HTTP/1.1 connections from the server, whose own HTTP/1.1 closes a connection if a request is rejected while its body
 * is still being sent.
 */
function divertHttp1(server: Http2SecureServer, onHttp1: (socket: TLSSocket) => void): void {
  const listeners = server.listeners("secureConnection") as ((socket: TLSSocket) => void)[];
  server.removeAllListeners("secureConnection");
  server.on("secureConnection", (socket: TLSSocket) => {
    if (socket.alpnProtocol !== "h2") return onHttp1(socket);
    for (const listen of listeners) Reflect.apply(listen, server, [socket]);
  });
}

/** Reports clients that begin a plaintext connection with something other than HTTP/2. */
function reportOtherProtocols(server: Http2Server, emit: EmitLimitEvent): void {
  let socket: Socket | undefined;
  server.prependListener("connection", (connected: Socket) => {
    socket = connected;
  });
  server.on("session", (session: ServerHttp2Session) => {
    const client = clientAddressOf(socket ?? {});
    const port = socket?.localPort ?? 0;
    session.once("error", ({ message }: Error) => {
      if (!message.includes("bad client magic")) return;
      const reason = "the client sent TLS or HTTP/1.1 to a port for HTTP/2 without TLS";
      emit({ kind: "wrong_protocol", reason, client, port });
    });
  });
}

function limitHandshakes(
  server: Http2SecureServer,
  connections: ConnectionLimit,
  { limits: { headerTimeoutMs }, emit }: Http2ServerOptions,
): void {
  const late = () => emit({ kind: "limit_reached", limit: "header-timeout-in-s" });
  server.on("connection", (socket) => connections.expectWithin(socket, headerTimeoutMs, late));
  server.on("secureConnection", (socket: TLSSocket) => {
    connections.arrived(connectionUnder(socket));
    connections.secured(connectionUnder(socket), socket);
  });
}

/**
 * Keeps response headers and trailers of every stream out of HPACK's dynamic table. Bun's encoder fills that table whatever
 * size the peer allows, and then refers to entries that the peer never stored: nginx, which allows none, responds with 502 to
 * every second call on a connection. Headers marked as sensitive are sent in full, and since no header of a connection enters
 * the table, nothing refers to it.
 */
function neverIndexHeaders(server: Http2Server | Http2SecureServer): void {
  // Runs before all other listeners, since one of them may respond at once.
  server.prependListener("stream", (stream: ServerHttp2Stream) => {
    Object.assign(stream, NEVER_INDEXED);
  });
}

/** Shared by all streams: a closure for each stream would cost more than the headers do. */
const NEVER_INDEXED = {
  respond(
    this: ServerHttp2Stream,
    headers?: OutgoingHttpHeaders,
    options?: ServerStreamResponseOptions,
  ): void {
    getPrototype(this).respond.call(this, withSensitive(headers), options);
  },
  additionalHeaders(this: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
    getPrototype(this).additionalHeaders.call(this, withSensitive(headers));
  },
  sendTrailers(this: ServerHttp2Stream, trailers: OutgoingHttpHeaders): void {
    getPrototype(this).sendTrailers.call(this, withSensitive(trailers));
  },
};

/** Headers that `node:http2` adds by itself. */
const ADDED_HEADERS = [":status", "date"];

function withSensitive(headers: OutgoingHttpHeaders = {}): OutgoingHttpHeaders {
  return { ...headers, [http2.sensitiveHeaders]: [...Object.keys(headers), ...ADDED_HEADERS] };
}

const getPrototype = (stream: ServerHttp2Stream): ServerHttp2Stream => Object.getPrototypeOf(stream);
