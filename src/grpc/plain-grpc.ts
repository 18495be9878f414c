import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { contentTypeProto, parseTimeout } from "@connectrpc/connect/protocol-grpc";
import { type ConfigSpecRequest, StatsigForwardProxy } from "../gen/statsig_forward_proxy_pb.ts";
import { FramePump } from "../streams/frame-pump.ts";
import type { SpecStream } from "../streams/spec-stream.ts";
import { StatusError } from "../streams/status-error.ts";
import { type CallScope, type FrameSource, GrpcCall } from "./grpc-call.ts";
import { ENVELOPE_BYTES, readBinary, readEnvelope } from "./request-envelope.ts";
import { toFrame } from "./response-frames.ts";
import type { CallContext, SpecService } from "./spec-service.ts";

const { typeName, method } = StatsigForwardProxy;
const STREAM_PATH = `/${typeName}/${method.streamConfigSpec.name}`;
const UNARY_PATH = `/${typeName}/${method.getConfigSpec.name}`;

/** A longer timer would fire at once. No client waits for 24 days. */
const MAX_TIMEOUT_MS = 0x7fffffff;

/** Fits a DATA frame of the default size. */
const SLICE_BYTES = 16 * 1024;

/** Slices of half the size cost up to 70 % more CPU, and with 10,000 calls they save 150 MB during an update. */
const SMALL_SLICE_BYTES = 8 * 1024;
const MANY_CALLS = 4_000;

interface PlainGrpcOptions {
  readonly service: SpecService;
  /** The largest request message, in bytes. */
  readonly maxRequestBytes: number;
}

/**
 * Serves plain gRPC calls of the `StatsigForwardProxy` service on bare HTTP/2 streams. Connect would need 30 KB for each open
 * stream, and five times the CPU for an update. Compressed requests, gRPC-Web and Connect stay with Connect.
 */
export class PlainGrpc implements CallScope {
  readonly pump = new FramePump();
  readonly #options: PlainGrpcOptions;
  readonly #calls = new Map<ServerHttp2Stream, GrpcCall>();
  #shutdown: StatusError | undefined;

  constructor(options: PlainGrpcOptions) {
    this.#options = options;
  }

  get sliceBytes(): number {
    return this.#calls.size > MANY_CALLS ? SMALL_SLICE_BYTES : SLICE_BYTES;
  }

  onOver({ stream }: GrpcCall): void {
    this.#calls.delete(stream);
  }

  /** Serves the stream, and returns true, if it is such a call. */
  accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    const path = headers[":path"];
    const isStream = path === STREAM_PATH;
    if ((!isStream && path !== UNARY_PATH) || !isPlainGrpc(headers)) return false;
    const call = new GrpcCall(stream, isStream, this);
    this.#calls.set(stream, call);
    call.metadata = this.#options.service.metadata();
    void this.#serve(call, headers);
    return true;
  }

  /** Ends streams, now and later, so that clients go to another replica. Unary calls get their responses. */
  endStreams(reason: StatusError): void {
    this.#shutdown = reason;
    for (const stream of this.#calls.keys()) this.endStream(stream, reason);
  }

  /** Ends the call of the stream, unless it is unary or over. */
  endStream(stream: ServerHttp2Stream, reason: StatusError): void {
    const call = this.#calls.get(stream);
    if (call?.isStream === true) call.end(reason);
  }

  async #serve(call: GrpcCall, headers: IncomingHttpHeaders): Promise<void> {
    const { service, maxRequestBytes } = this.#options;
    try {
      setDeadline(call, headers["grpc-timeout"]);
      const body = await call.readBody(maxRequestBytes + ENVELOPE_BYTES);
      // The client is gone.
      if (body === undefined) return;
      const message = readEnvelope(body, readBinary);
      const readHeaders = () => toHeaders(headers);
      if (call.isStream) await this.#openStream(call, message, readHeaders);
      else await this.#answer(call, message, readHeaders);
    } catch (error) {
      call.end(service.statusOf(error));
    }
  }

  async #openStream(
    call: GrpcCall,
    message: ConfigSpecRequest,
    headers: CallContext["headers"],
  ): Promise<void> {
    const { service } = this.#options;
    if (this.#shutdown !== undefined) throw this.#shutdown;
    const stream = service.streams.enter();
    stream.onReady = () => call.wake();
    call.use(new StreamFrames(stream));
    const request = service.toRequest(message, { isGrpc: true, headers });
    const held = stream.openHeld(request) ?? (await stream.open(request));
    call.metadata = service.metadata(held);
    call.start();
  }

  async #answer(call: GrpcCall, message: ConfigSpecRequest, headers: CallContext["headers"]): Promise<void> {
    const { service } = this.#options;
    const { held, item } = await service.get(message, {
      isGrpc: true,
      headers,
      signal: () => call.signal,
    });
    call.metadata = service.metadata(held);
    call.use(new SingleFrame(toFrame(item)));
    call.start();
  }
}

function isPlainGrpc(headers: IncomingHttpHeaders): boolean {
  const { ":method": verb, "content-type": type, "grpc-encoding": coding = "identity" } = headers;
  return (
    verb === "POST" && (type === "application/grpc" || type === contentTypeProto) && coding === "identity"
  );
}

function toHeaders(headers: IncomingHttpHeaders): Pick<Headers, "get"> {
  return { get: (name) => headers[name]?.toString() ?? null };
}

function setDeadline(call: GrpcCall, timeout: string | string[] | undefined): void {
  const { timeoutMs, error } = parseTimeout(timeout?.toString() ?? null, Number.MAX_SAFE_INTEGER);
  if (error !== undefined) throw new StatusError("invalid_argument", error.rawMessage);
  if (timeoutMs !== undefined && timeoutMs <= MAX_TIMEOUT_MS) call.setDeadline(timeoutMs);
}

/** The frames of a stream. The frame of a version is the one that all clients and threads share. */
class StreamFrames implements FrameSource {
  readonly #stream: SpecStream;

  constructor(stream: SpecStream) {
    this.#stream = stream;
  }

  next(): Uint8Array | undefined {
    const item = this.#stream.take();
    return item && toFrame(item);
  }

  sent(): void {
    this.#stream.sent();
  }

  get ended(): StatusError | undefined {
    return this.#stream.ended;
  }

  close(): void {
    this.#stream.close();
  }
}

/** The response of a unary call. */
class SingleFrame implements FrameSource {
  #frame: Uint8Array | undefined;
  readonly ended = "ok";

  constructor(frame: Uint8Array) {
    this.#frame = frame;
  }

  next(): Uint8Array | undefined {
    const frame = this.#frame;
    this.#frame = undefined;
    return frame;
  }

  sent(): void {}

  close(): void {}
}
