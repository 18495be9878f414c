import { createHash } from "node:crypto";
import { createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { LRUCache } from "lru-cache";
import { CONNECT_OPTIONS, type RpcRoutes, shutdownError } from "../../grpc/routes.ts";
import type { WebStream, WebStreams } from "../../grpc/web-streams.ts";
import { BytesResponse } from "../response-content.ts";
import { StreamedResponse } from "../streams/streamed-response.ts";
import type { RpcCalls } from "./rpc.ts";

/** Opens the RPCs for clients of the HTTP ports, with the RPC library. */
export function openRpcCalls(routes: RpcRoutes, streams: WebStreams): RpcCalls {
  const shared = new SharedBodies();
  const shutdown = new AbortController();
  const router = createConnectRouter({ ...CONNECT_OPTIONS, grpc: false, shutdownSignal: shutdown.signal });
  routes(router);
  const handlers = new Map(
    router.handlers.map((handler) => {
      const handle = createFetchHandler(handler);
      const isUnary = handler.method.methodKind === "unary";
      const call = async (request: Request) => {
        const response = await handle(request);
        return isUnary ? shared.share(response) : response;
      };
      return [handler.requestPath, call];
    }),
  );
  return {
    async call(path, request) {
      const stream = path === STREAM_PATH ? streams.open(request) : undefined;
      if (stream !== undefined) return toResponse(await stream);
      const call = handlers.get(path);
      if (call === undefined) throw new Error(`no RPC has the path ${path}`);
      return call(request);
    },
    endStreams: () => shutdown.abort(shutdownError()),
  };
}

const STREAM_PATH = "/statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec";

function toResponse({ body, headers }: WebStream): Response {
  return body instanceof Uint8Array
    ? new BytesResponse(body, { headers })
    : new StreamedResponse(body, { headers });
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
