import { createHash } from "node:crypto";
import { createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler, type UniversalHandler } from "@connectrpc/connect/protocol";
import { Hono } from "hono";
import { LRUCache } from "lru-cache";
import { CONNECT_OPTIONS, MAX_REQUEST_BYTES, type RpcRoutes, shutdownError } from "../../grpc/routes.ts";
import type { BodyReader } from "../request-body.ts";
import type { RequestContext, RequestEnv } from "../request-context.ts";
import { BytesResponse } from "../response-content.ts";

export type { RpcRoutes } from "../../grpc/routes.ts";

/** Above the limit of messages, so that Connect itself rejects most messages that are too large. */
const MAX_BODY_BYTES = 2 * MAX_REQUEST_BYTES;

/**
 * Serves the RPCs over Connect and gRPC-Web on the HTTP port, so that curl can call them. gRPC itself needs trailers, which
 * the HTTP listener cannot send: it is served on its own port.
 */
export class RpcMount {
  readonly app = new Hono<RequestEnv>();
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
    const handle = createFetchHandler(handler);
    const call = async (
      { url, method, headers, signal }: Request,
      context: RequestContext,
      bytes: Uint8Array<ArrayBuffer>,
    ) => {
      const body = method === "GET" ? null : bytes;
      // A stream must not be cut while it is idle.
      if (!isUnary) context.setDeadline(0);
      const response = await handle(new Request(url, { method, headers, signal, body }));
      return isUnary ? this.#shared.share(response) : response;
    };
    this.app.on([...handler.allowedMethods], handler.requestPath, ({ req: { raw }, env }) =>
      bodies.withBody(raw, env, (bytes) => call(raw, env, bytes), MAX_BODY_BYTES),
    );
  }

  endStreams(): void {
    this.#shutdown.abort(shutdownError());
  }
}

/** The most large bodies that are tracked: the feeds that clients request by RPC, in a few forms each. */
const MAX_TRACKED_BODIES = 1_000;

/** Smaller bodies are not worth the lookup. */
const MIN_SHARED_BYTES = 16 * 1024;

/** Makes responses share equal bodies. The RPC library makes a new body for each client; with many slow clients it is held once. */
class SharedBodies {
  readonly #known = new LRUCache<string, WeakRef<Uint8Array>>({ max: MAX_TRACKED_BODIES });

  /** Returns the response with its body read to the end and shared. */
  async share(response: Response): Promise<Response> {
    const { status, headers } = response;
    const bytes = new Uint8Array(await response.arrayBuffer());
    const body = bytes.length < MIN_SHARED_BYTES ? bytes : this.#findEqual(bytes);
    return new BytesResponse(body, { status, headers });
  }

  /** Returns the bytes that an earlier response has if they are equal. */
  #findEqual(bytes: Uint8Array): Uint8Array {
    const digest = createHash("sha256").update(bytes).digest("base64");
    const known = this.#known.get(digest)?.deref();
    if (known !== undefined) return known;
    this.#known.set(digest, new WeakRef(bytes));
    return bytes;
  }
}
