import { createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { Hono } from "hono";
import { CONNECT_OPTIONS } from "../grpc/connect-options.ts";
import { type RpcRoutes, shuttingDown } from "../grpc/routes.ts";

export type { RpcRoutes } from "../grpc/routes.ts";

/**
 * The RPCs over Connect and gRPC-Web on the HTTP port, so that curl can call them. gRPC itself needs
 * trailers, which the HTTP listener can't send: it is served on its own port.
 */
export class RpcMount {
  readonly app = new Hono();
  readonly #shutdown = new AbortController();

  /** `keepOpen` is told of each RPC, which may be a stream: it must not be cut for being idle. */
  constructor(routes: RpcRoutes, keepOpen: (request: Request) => void) {
    const router = createConnectRouter({
      ...CONNECT_OPTIONS,
      grpc: false,
      shutdownSignal: this.#shutdown.signal,
    });
    routes(router);
    for (const handler of router.handlers) {
      const fetchHandler = createFetchHandler(handler);
      this.app.on([...handler.allowedMethods], handler.requestPath, (context) => {
        keepOpen(context.req.raw);
        return fetchHandler(context.req.raw);
      });
    }
  }

  endStreams(): void {
    this.#shutdown.abort(shuttingDown());
  }
}
