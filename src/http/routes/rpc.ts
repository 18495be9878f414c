import { Hono } from "hono";
import type { BodyReader } from "../request-body.ts";
import type { RequestContext, RequestEnv } from "../request-context.ts";
import { errorResponse } from "../responses.ts";

/**
 * The RPCs that are served over Connect and gRPC-Web on the HTTP ports. They are listed here so that the RPC library, which takes a
 * third of the memory of a thread, is loaded only when a client calls one.
 */
export const RPCS = [
  { path: "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec", isUnary: true },
  { path: "/statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec", isUnary: false },
  { path: "/grpc.health.v1.Health/Check", isUnary: true },
  { path: "/grpc.health.v1.Health/Watch", isUnary: false },
  { path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", isUnary: false },
  { path: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", isUnary: false },
] as const;

type RpcPath = (typeof RPCS)[number]["path"];

/** Calls RPCs by web standard requests. */
export interface RpcCalls {
  call(path: RpcPath, request: Request): Promise<Response>;
  /** Ends streams with UNAVAILABLE, so that clients go to another replica. */
  endStreams(): void;
}

/** Twice the largest message, so that the RPC library itself rejects most messages that are too large. */
const MAX_BODY_BYTES = 128 * 1024;

/**
 * Serves the RPCs on the HTTP ports, so that curl can call them. gRPC itself needs trailers, which the HTTP listener cannot send:
 * it is served on its own port.
 */
export class RpcMount {
  readonly app = new Hono<RequestEnv>();
  readonly #load: () => Promise<RpcCalls>;
  #calls: Promise<RpcCalls> | undefined;
  #isEnding = false;

  constructor(load: () => Promise<RpcCalls>, bodies: BodyReader) {
    this.#load = load;
    for (const { path, isUnary } of RPCS) {
      const call = async (raw: Request, context: RequestContext, bytes: Uint8Array<ArrayBuffer>) => {
        // A stream must not be cut while it is idle.
        if (!isUnary) context.setDeadline(0);
        const { url, method, headers, signal } = raw;
        const calls = await this.#open();
        const response = await calls.call(path, new Request(url, { method, headers, signal, body: bytes }));
        return response.status === 415 ? unsupportedResponse(headers, isUnary) : response;
      };
      this.app.post(path, ({ req: { raw }, env }) =>
        bodies.withBody(raw, env, (bytes) => call(raw, env, bytes), MAX_BODY_BYTES),
      );
    }
  }

  endStreams(): void {
    this.#isEnding = true;
    this.#calls?.then((calls) => calls.endStreams()).catch(() => {});
  }

  #open(): Promise<RpcCalls> {
    this.#calls ??= this.#loadCalls();
    return this.#calls;
  }

  async #loadCalls(): Promise<RpcCalls> {
    try {
      const calls = await this.#load();
      if (this.#isEnding) calls.endStreams();
      return calls;
    } catch (error) {
      // The next call tries again.
      this.#calls = undefined;
      throw error;
    }
  }
}

const UNARY_TYPES = "application/json, application/proto or application/grpc-web";
const STREAM_TYPES = "application/connect+json, application/connect+proto or application/grpc-web";

/** The RPC library sends no body, and curl would print nothing. */
function unsupportedResponse(headers: Headers, isUnary: boolean): Response {
  const type = headers.get("content-type") ?? "";
  const isGrpc = type.startsWith("application/grpc") && !type.startsWith("application/grpc-web");
  const message = isGrpc
    ? "gRPC is served on the gRPC ports. Here are Connect and gRPC-Web"
    : `The Content-Type of this RPC is ${isUnary ? UNARY_TYPES : STREAM_TYPES}`;
  return errorResponse(415, { message });
}
