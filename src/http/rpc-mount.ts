import { createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler, type UniversalHandler } from "@connectrpc/connect/protocol";
import { Hono } from "hono";
import { CONNECT_OPTIONS } from "../grpc/connect-options.ts";
import { type RpcRoutes, shuttingDown } from "../grpc/routes.ts";
import type { ExchangeEnv } from "./exchange.ts";
import type { BodyReader } from "./request-body.ts";
import { SharedBodies } from "./shared-bodies.ts";

export type { RpcRoutes } from "../grpc/routes.ts";

/**
 * The RPCs over Connect and gRPC-Web on the HTTP port, so that curl can call them. gRPC itself needs
 * trailers, which the HTTP listener can't send: it is served on its own port.
 */
export class RpcMount {
  readonly app = new Hono<ExchangeEnv>();
  readonly #shared = new SharedBodies();
  readonly #shutdown = new AbortController();

  constructor(routes: RpcRoutes, bodies: BodyReader) {
    const router = createConnectRouter({
      ...CONNECT_OPTIONS,
      grpc: false,
      shutdownSignal: this.#shutdown.signal,
    });
    routes(router);
    for (const handler of router.handlers) this.#mount(handler, bodies);
  }

  #mount(handler: UniversalHandler, bodies: BodyReader): void {
    const isUnary = handler.method.methodKind === "unary";
    const answer = createFetchHandler(handler);
    this.app.on([...handler.allowedMethods], handler.requestPath, ({ req, env }) =>
      bodies.withBody(req.raw, env, async (bytes) => {
        const { url, method, headers, signal } = req.raw;
        const body = method === "GET" ? null : bytes;
        // A stream must not be cut for being idle.
        if (!isUnary) env.limitTo(0);
        const response = await answer(new Request(url, { method, headers, signal, body }));
        return isUnary ? this.#shared.share(response) : response;
      }),
    );
  }

  endStreams(): void {
    this.#shutdown.abort(shuttingDown());
  }
}
