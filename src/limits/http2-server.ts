import http2, { type Http2SecureServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { Server } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ServerTls } from "../tls/server-tls.ts";
import { ConnectionLimit } from "./connection-limit.ts";
import type { EmitLimitEvent } from "./events.ts";
import { RequestDeadlines } from "./request-deadlines.ts";
import { limitSession } from "./session-limits.ts";

export interface Http2Limits {
  readonly maxConnections: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly maxStreamsPerConnection: number;
  readonly maxResetsPerMin: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
}

export interface Http2ServerOptions {
  /** Undefined for plaintext. */
  readonly tls: ServerTls | undefined;
  /** HTTP/1.1 on the same port; with TLS alone. */
  readonly allowHTTP1: boolean;
  readonly limits: Http2Limits;
  readonly idleTimeoutMs: number;
  readonly emit: EmitLimitEvent;
}

export interface LimitedServer {
  readonly server: Http2Server | Http2SecureServer;
  readonly connections: ConnectionLimit;
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  readonly requests: RequestDeadlines;
}

/** An HTTP/2 server that no client can keep busy for nothing. */
export function createHttp2Server(options: Http2ServerOptions): LimitedServer {
  const { tls, allowHTTP1, limits, idleTimeoutMs, emit } = options;
  const common = {
    settings: {
      maxConcurrentStreams: limits.maxStreamsPerConnection,
      maxHeaderListSize: limits.maxHeaderBytes,
    },
    maxHeaderListPairs: limits.maxHeaders,
  };
  const server =
    tls === undefined
      ? http2.createServer(common)
      : http2.createSecureServer({ ...common, ...tls.serverOptions, allowHTTP1 });
  const connections = new ConnectionLimit(server as Server, { maxConnections: limits.maxConnections, emit });
  if (tls !== undefined) limitHandshakes(server as Http2SecureServer, connections, options);
  tls?.guard(server as Http2SecureServer);
  const { headerTimeoutMs, maxStreamsPerConnection: maxStreams, maxResetsPerMin } = limits;
  const requests = new RequestDeadlines(limits.bodyTimeoutMs, emit);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session: ServerHttp2Session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    // A connection that breaks is the client's business; without a listener it would end the process.
    session.on("error", () => {});
    requests.watch(session);
    limitSession(session, { headerTimeoutMs, maxStreams, maxResetsPerMin, idleTimeoutMs, emit });
  });
  return { server, connections, sessions, requests };
}

function limitHandshakes(
  server: Http2SecureServer,
  connections: ConnectionLimit,
  { limits: { headerTimeoutMs }, emit }: Http2ServerOptions,
): void {
  const late = () => emit({ kind: "limit_reached", limit: "header-timeout-in-s" });
  server.on("connection", (socket) => connections.expectWithin(socket, headerTimeoutMs, late));
  server.on("secureConnection", (socket: TLSSocket) => connections.arrived(socket));
}

/** Resolves when it listens; rejects with the system's error where the port can't be had. */
export async function listening(server: Server, port: number, bindAddress: string): Promise<void> {
  const started = Promise.withResolvers<void>();
  server.once("error", started.reject);
  server.listen(port, bindAddress, started.resolve);
  await started.promise;
  server.off("error", started.reject);
}
