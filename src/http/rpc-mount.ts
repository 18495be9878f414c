import { createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { Hono } from "hono";
import { CONNECT_OPTIONS } from "../grpc/connect-options.ts";
import { type RpcRoutes, shuttingDown } from "../grpc/routes.ts";

import type { ExchangeEnv } from "./exchange.ts";
import type { BodyReader } from "./request-body.ts";
import { errorResponse } from "./status-json.ts";

export type { RpcRoutes } from "../grpc/routes.ts";

/**
 * The RPCs over Connect and gRPC-Web on the HTTP port, so that curl can call them. gRPC itself needs
 * trailers, which the HTTP listener can't send: it is served on its own port.
 */
export class RpcMount {
  readonly app = new Hono<ExchangeEnv>();
  readonly #shutdown = new AbortController();

  constructor(routes: RpcRoutes, bodies: BodyReader) {
    const router = createConnectRouter({
      ...CONNECT_OPTIONS,
      grpc: false,
      shutdownSignal: this.#shutdown.signal,
    });
    routes(router);
    for (const handler of router.handlers) {
      const fetchHandler = createFetchHandler(handler);
      this.app.on([...handler.allowedMethods], handler.requestPath, async ({ req, env }) => {
        const { url, method, headers, signal } = req.raw;
        const body = method === "GET" ? null : await bodies.read(req.raw, env);
        if (body === undefined) return errorResponse(400);
        // It may be a stream: it must not be cut for being idle.
        env.limitTo(0);
        return fetchHandler(new Request(url, { method, headers, signal, body }));
      });
    }
  }

  endStreams(): void {
    this.#shutdown.abort(shuttingDown());
  }
}
