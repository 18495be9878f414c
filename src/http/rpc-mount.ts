import { createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { Hono } from "hono";
import { CONNECT_OPTIONS } from "../grpc/connect-options.ts";
import type { RpcRoutes } from "../grpc/routes.ts";

export interface RpcMountOptions {
  readonly routes: RpcRoutes;
  /** Ends streams on shutdown; its reason is the status that clients get. */
  readonly shutdownSignal: AbortSignal;
  /** Called for each RPC, which may be a stream: it must not be cut for being idle. */
  readonly keepOpen: (request: Request) => void;
}

/**
 * The RPCs over Connect and gRPC-Web on the HTTP port, so that curl can call them. gRPC itself needs
 * trailers, which the HTTP listener can't send: it is served on its own port.
 */
export function rpcMount({ routes, shutdownSignal, keepOpen }: RpcMountOptions): Hono {
  const router = createConnectRouter({ ...CONNECT_OPTIONS, grpc: false, shutdownSignal });
  routes(router);
  const app = new Hono();
  for (const handler of router.handlers) {
    const fetchHandler = createFetchHandler(handler);
    app.on([...handler.allowedMethods], handler.requestPath, (context) => {
      keepOpen(context.req.raw);
      return fetchHandler(context.req.raw);
    });
  }
  return app;
}
