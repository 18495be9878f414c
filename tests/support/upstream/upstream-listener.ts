import { createServer, type ServerResponse } from "node:http";
import { createServer as createHttp2Server, createSecureServer, type Http2ServerResponse } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { Server, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../common/free-port.ts";
import type { Exchange } from "./upstream-faults.ts";
import { readRequest } from "./upstream-request.ts";

/** TLS with these versions of HTTP; certificates as PEM. */
export interface UpstreamTls {
  readonly key: string;
  readonly cert: string;
  readonly http: "1.1" | "2" | "both";
}

/** TLS, or HTTP/2 in plaintext with prior knowledge; else HTTP/1.1 in plaintext. */
export type UpstreamProtocol = UpstreamTls | "h2c" | undefined;

type OnRequest = (exchange: Omit<Exchange, "hangUp">) => void;

function createAnyServer(protocol: UpstreamProtocol, onRequest: OnRequest): Server {
  const handle = (
    message: Parameters<typeof readRequest>[0],
    response: ServerResponse | Http2ServerResponse,
  ): void => {
    readRequest(message).then(
      // An HTTP/2 response has the methods of an HTTP/1.1 response; only their overloads differ.
      (request) => onRequest({ request, response: response as ServerResponse }),
      () => undefined,
    );
  };
  // Longer than any polling interval in a test, so that no idle connection closes just as it is reused.
  const keepAliveTimeout = 60_000;
  if (protocol === undefined) return createServer({ keepAliveTimeout }, handle);
  if (protocol === "h2c") return createHttp2Server(handle);
  const pem = { key: protocol.key, cert: protocol.cert };
  if (protocol.http === "1.1") return createHttpsServer({ ...pem, keepAliveTimeout }, handle);
  return createSecureServer({ ...pem, allowHTTP1: protocol.http === "both" }, handle);
}

/** A listening socket that destroys its connections when it closes. */
export class UpstreamListener {
  readonly #protocol: UpstreamProtocol;
  readonly #onExchange: (exchange: Exchange) => void;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  port = 0;

  constructor(protocol: UpstreamProtocol, onExchange: (exchange: Exchange) => void) {
    this.#protocol = protocol;
    this.#onExchange = onExchange;
  }

  /** Listens on the previous port, the first time on one that no other test gets while this is closed. */
  async open(): Promise<void> {
    if (this.#server !== undefined) return;
    if (this.port === 0) this.port = await freePort();
    const server = createAnyServer(this.#protocol, ({ request, response }) => {
      this.#onExchange({ request, response, hangUp: (how) => this.#hangUp(request.clientPort, how) });
    });
    for (const event of ["connection", "secureConnection"]) {
      server.on(event, (socket: Socket) => {
        this.#sockets.add(socket);
        socket.once("close", () => this.#sockets.delete(socket));
      });
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen(this.port, "127.0.0.1", resolve);
    await promise;
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    if ("closeAllConnections" in server) (server.closeAllConnections as () => void)();
    await Promise.race([closed, sleep(500)]);
  }

  // Found by the port, because an HTTP/2 response does not expose its socket.
  #hangUp(clientPort: number, how: "close" | "reset"): void {
    for (const socket of this.#sockets) {
      if (socket.remotePort !== clientPort) continue;
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroy();
    }
  }
}
