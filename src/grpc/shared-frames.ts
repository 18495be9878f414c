import { fromBinary } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createHandlerContext,
  type HandlerContext,
} from "@connectrpc/connect";
import {
  assertByteStreamRequest,
  pipe,
  transformCatchFinally,
  transformSplitEnvelope,
  type UniversalHandler,
  type UniversalServerRequest,
  untilFirst,
  uResponseOk,
} from "@connectrpc/connect/protocol";
import {
  contentTypeProto,
  grpcStatusOk,
  headerContentType,
  headerEncoding,
  headerGrpcStatus,
  headerTimeout,
  parseTimeout,
  setTrailerStatus,
} from "@connectrpc/connect/protocol-grpc";
import {
  type ConfigSpecRequest,
  ConfigSpecRequestSchema,
  StatsigForwardProxy,
} from "../gen/statsig_forward_proxy_pb.ts";
import { frameSpec } from "../specs/payload/grpc-frame.ts";
import { NO_UPDATE_JSON } from "../specs/snapshot.ts";
import { MAX_REQUEST_BYTES } from "./routes.ts";
import type { SpecService } from "./spec-service.ts";
import type { SpecItem } from "./spec-stream.ts";

const MAX_TIMEOUT_MS = 0x7fffffff;

type ItemSource = (request: ConfigSpecRequest, context: HandlerContext) => AsyncIterable<SpecItem>;

/**
 * Replaces the handlers of plain gRPC with ones that share one frame among all clients of a snapshot. Connect would encode
 * and copy a message for each: for 500 streams of 1 MB, five times the CPU and memory. Compressed requests, gRPC-Web and
 * Connect stay with Connect.
 */
export function useSharedFrames(
  router: ConnectRouter,
  service: SpecService,
  shutdownSignal: AbortSignal,
): void {
  const { getConfigSpec, streamConfigSpec } = StatsigForwardProxy.method;
  const sources = new Map<string, ItemSource>([
    [streamConfigSpec.name, (request, context) => service.streamConfigSpec(request, context)],
    [getConfigSpec.name, (request, context) => once(service.getConfigSpec(request, context))],
  ]);
  for (const [index, handler] of router.handlers.entries()) {
    const readItems = handler.service === StatsigForwardProxy ? sources.get(handler.method.name) : undefined;
    if (readItems !== undefined)
      router.handlers[index] = withSharedFrames(handler, readItems, shutdownSignal);
  }
}

async function* once<T>(value: Promise<T>): AsyncGenerator<T> {
  yield await value;
}

function withSharedFrames(
  original: UniversalHandler,
  readItems: ItemSource,
  shutdownSignal: AbortSignal,
): UniversalHandler {
  const { name: _, length: __, ...properties } = original;
  const handler = async (request: UniversalServerRequest) => {
    if (!isPlainGrpc(request)) return original(request);
    const timeout = parseTimeout(request.header.get(headerTimeout), Number.MAX_SAFE_INTEGER);
    const context = createContext(original, request, timeout.timeoutMs, shutdownSignal);
    const stream = pipe(
      encodeFrames(request, context, timeout.error, readItems),
      transformCatchFinally<Uint8Array>((error) => {
        context.abort(error);
        if (error !== undefined) setTrailerStatus(context.responseTrailer, toStatus(error));
      }),
      { propagateDownStreamError: true },
    );
    const body = await untilFirst(stream);
    return { ...uResponseOk, body, header: context.responseHeader, trailer: context.responseTrailer };
  };
  return Object.assign(handler, properties);
}

function isPlainGrpc({ header, method }: UniversalServerRequest): boolean {
  const type = header.get(headerContentType);
  const coding = header.get(headerEncoding) ?? "identity";
  return (
    method === "POST" && (type === "application/grpc" || type === contentTypeProto) && coding === "identity"
  );
}

function createContext(
  { service, method }: UniversalHandler,
  request: UniversalServerRequest,
  timeoutMs: number | undefined,
  shutdownSignal: AbortSignal,
) {
  return createHandlerContext({
    service,
    method,
    protocolName: "grpc",
    requestMethod: request.method,
    url: request.url,
    requestHeader: request.header,
    requestSignal: request.signal,
    shutdownSignal,
    // A longer timer would fire at once. No caller waits for 24 days.
    ...(timeoutMs !== undefined && timeoutMs <= MAX_TIMEOUT_MS && { timeoutMs }),
    responseHeader: { [headerContentType]: contentTypeProto },
    responseTrailer: { [headerGrpcStatus]: grpcStatusOk },
    ...(request.contextValues && { contextValues: request.contextValues }),
  });
}

async function* encodeFrames(
  request: UniversalServerRequest,
  context: HandlerContext,
  timeoutError: ConnectError | undefined,
  readItems: ItemSource,
): AsyncGenerator<Uint8Array> {
  if (timeoutError !== undefined) throw timeoutError;
  const message = await readMessage(request);
  for await (const item of readItems(message, context)) yield* frameSlices(item);
}

/** Reads the request to its end, since stopping earlier would reset the stream. */
async function readMessage(request: UniversalServerRequest): Promise<ConfigSpecRequest> {
  assertByteStreamRequest(request);
  const messages: Uint8Array[] = [];
  for await (const { flags, data } of pipe(request.body, transformSplitEnvelope(MAX_REQUEST_BYTES))) {
    if (flags !== 0) throw new ConnectError("a compressed message without grpc-encoding", Code.Internal);
    if (messages.push(data) > 1) break;
  }
  const [message] = messages;
  if (message === undefined || messages.length > 1) {
    throw new ConnectError("the request must have exactly one message", Code.Unimplemented);
  }
  try {
    return fromBinary(ConfigSpecRequestSchema, message);
  } catch {
    throw new ConnectError("the message is not a valid ConfigSpecRequest", Code.InvalidArgument);
  }
}

function toStatus(error: unknown): ConnectError {
  return error instanceof ConnectError ? error : new ConnectError("internal error", Code.Internal);
}

/**
 * A slow client holds back one slice, not a copy of the frame. Larger slices, beyond HTTP/2's default window, make Bun's
 * node:http2 stall for seconds; smaller ones cost CPU.
 */
const SLICE_BYTES = 64 * 1024;

/** Yields a gRPC frame with a `ConfigSpecResponse`, in slices of the memory that all clients and threads share. */
function* frameSlices(item: SpecItem): Generator<Uint8Array, void, undefined> {
  const frame =
    item.kind === "spec" ? item.snapshot.grpcFrame : frameSpec(NO_UPDATE_BYTES, item.lcut).grpcFrame;
  for (let at = 0; at < frame.length; at += SLICE_BYTES) yield frame.subarray(at, at + SLICE_BYTES);
}

const NO_UPDATE_BYTES = new TextEncoder().encode(NO_UPDATE_JSON);
