import { createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler, type UniversalHandler } from "@connectrpc/connect/protocol";
import { Hono } from "hono";
import { CONNECT_OPTIONS, MAX_REQUEST_BYTES } from "../grpc/connect-options.ts";
import { type RpcRoutes, shuttingDown } from "../grpc/routes.ts";
import type { Exchange, ExchangeEnv } from "./exchange.ts";
import type { BodyReader } from "./request-body.ts";
import { SharedBodies } from "./shared-bodies.ts";

export type { RpcRoutes } from "../grpc/routes.ts";

/** Above the limit of messages, so that Connect itself says of most that they are too large. */
const MAX_BODY_BYTES = 2 * MAX_REQUEST_BYTES;

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
    const call = async (
      { url, method, headers, signal }: Request,
      env: Exchange,
      bytes: Uint8Array<ArrayBuffer>,
    ) => {
      const body = method === "GET" ? null : bytes;
      // A stream must not be cut for being idle.
      if (!isUnary) env.limitTo(0);
      const response = await answer(new Request(url, { method, headers, signal, body }));
      return isUnary ? this.#shared.share(response) : response;
    };
    this.app.on([...handler.allowedMethods], handler.requestPath, ({ req: { raw }, env }) =>
      bodies.withBody(raw, env, (bytes) => call(raw, env, bytes), MAX_BODY_BYTES),
    );
  }

  endStreams(): void {
    this.#shutdown.abort(shuttingDown());
  }
}
