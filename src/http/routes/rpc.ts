import { createHash } from "node:crypto";
import { createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler, type UniversalHandler } from "@connectrpc/connect/protocol";
import { Hono } from "hono";
import { LRUCache } from "lru-cache";
import { CONNECT_OPTIONS, MAX_REQUEST_BYTES, type RpcRoutes, shuttingDown } from "../../grpc/routes.ts";
import type { RequestContext, RequestEnv } from "../exchange.ts";
import type { BodyReader } from "../request-body.ts";

export type { RpcRoutes } from "../../grpc/routes.ts";

/** Above the limit of messages, so that Connect itself says of most that they are too large. */
const MAX_BODY_BYTES = 2 * MAX_REQUEST_BYTES;

/**
 * The RPCs over Connect and gRPC-Web on the HTTP port, so that curl can call them. gRPC itself needs
 * trailers, which the HTTP listener can't send: it is served on its own port.
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
    const answer = createFetchHandler(handler);
    const call = async (
      { url, method, headers, signal }: Request,
      env: RequestContext,
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

/** Distinct large bodies that are looked for: feeds that clients ask for by RPC, in a few forms each. */
const MAX_KNOWN = 1_000;

/** Smaller ones are not worth the looking. */
const MIN_BYTES = 16 * 1024;

/**
 * Lets answers of the same bytes share one Blob. However many clients are slow to read an answer that a library made anew
 * for each of them, it is held once.
 */
class SharedBodies {
  readonly #known = new LRUCache<string, WeakRef<Blob>>({ max: MAX_KNOWN });

  /** The same answer, its body read to the end. */
  async share(response: Response): Promise<Response> {
    const { status, headers } = response;
    const bytes = new Uint8Array(await response.arrayBuffer());
    const body = bytes.length < MIN_BYTES ? bytes : this.#blobOf(bytes);
    return new Response(body, { status, headers });
  }

  #blobOf(bytes: Uint8Array<ArrayBuffer>): Blob {
    const digest = createHash("sha256").update(bytes).digest("base64");
    const known = this.#known.get(digest)?.deref();
    if (known !== undefined) return known;
    const blob = new Blob([bytes]);
    this.#known.set(digest, new WeakRef(blob));
    return blob;
  }
}
