import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { type ConfigSpecRequest, StatsigForwardProxy } from "../gen/statsig_forward_proxy_pb.ts";
import { FramePump } from "../streams/frame-pump.ts";
import type { SpecStream } from "../streams/spec-stream.ts";
import type { StatusError } from "../streams/status-error.ts";
import { type CallForm, findForm, readTimeout } from "./call-forms.ts";
import { type CallScope, type FrameSource, GrpcCall } from "./grpc-call.ts";
import { HeldBytes } from "./held-bytes.ts";
import { ENVELOPE_BYTES, MAX_REQUEST_BYTES, readEnvelope } from "./request-envelope.ts";
import { toFrame } from "./response-frames.ts";
import type { SpecService } from "./spec-service.ts";

const { typeName, method } = StatsigForwardProxy;
const STREAM_PATH = `/${typeName}/${method.streamConfigSpec.name}`;
const UNARY_PATH = `/${typeName}/${method.getConfigSpec.name}`;

interface PlainGrpcOptions {
  readonly service: SpecService;
  /** How long a client may leave sent bytes unread. */
  readonly unreadTimeoutMs: number;
}

/** How often in that time clients are checked that do not read. */
const UNREAD_CHECKS = 4;

/**
 * Serves gRPC calls of the `StatsigForwardProxy` service, and its streams over gRPC-Web and Connect, on bare HTTP/2 streams. The
 * Connect library would need 30 KB for each open stream, and five times the CPU for an update. It serves unary calls over gRPC-Web and
 * Connect, and rejects malformed requests.
 */
export class PlainGrpc implements CallScope {
  readonly pump = new FramePump();
  readonly heldBytes = new HeldBytes();
  readonly #options: PlainGrpcOptions;
  readonly #calls = new Map<ServerHttp2Stream, GrpcCall>();
  #shutdown: StatusError | undefined;

  constructor(options: PlainGrpcOptions) {
    this.#options = options;
    const { unreadTimeoutMs } = options;
    setInterval(() => {
      for (const call of this.#calls.values()) call.cutIfUnread(unreadTimeoutMs);
    }, unreadTimeoutMs / UNREAD_CHECKS).unref();
  }

  onOver({ stream }: GrpcCall): void {
    this.#calls.delete(stream);
  }

  /** Serves the stream, and returns true, if it is such a call. */
  accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    const path = headers[":path"];
    const isStream = path === STREAM_PATH;
    if ((!isStream && path !== UNARY_PATH) || headers[":method"] !== "POST") return false;
    const form = findForm(toHeaders(headers));
    if (form === undefined || !(isStream || form.isGrpc)) return false;
    const call = new GrpcCall(stream, { isStream, form }, this);
    this.#calls.set(stream, call);
    call.metadata = this.#options.service.metadata();
    void this.#serve(call, form, toHeaders(headers));
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

  async #serve(call: GrpcCall, form: CallForm, headers: RequestHeaders): Promise<void> {
    const { service } = this.#options;
    try {
      const timeoutMs = readTimeout(headers, form);
      if (timeoutMs !== undefined) call.setDeadline(timeoutMs);
      const body = await call.readBody(MAX_REQUEST_BYTES + ENVELOPE_BYTES);
      // The client is gone.
      if (body === undefined) return;
      const message = readEnvelope(body, form);
      if (call.isStream) await this.#openStream(call, form, { message, headers });
      else await this.#answer(call, message, headers);
    } catch (error) {
      call.end(service.statusOf(error));
    }
  }

  async #openStream(
    call: GrpcCall,
    { isGrpc, toFrame }: CallForm,
    { message, headers }: { readonly message: ConfigSpecRequest; readonly headers: RequestHeaders },
  ): Promise<void> {
    const { service } = this.#options;
    if (this.#shutdown !== undefined) throw this.#shutdown;
    const stream = service.streams.enter();
    stream.onReady = () => call.wake();
    call.use(new StreamFrames(stream, toFrame));
    const request = service.toRequest(message, { isGrpc, headers: () => headers });
    const held = stream.openHeld(request) ?? (await stream.open(request));
    call.metadata = service.metadata(held);
    call.start();
  }

  async #answer(call: GrpcCall, message: ConfigSpecRequest, headers: RequestHeaders): Promise<void> {
    const { service } = this.#options;
    const { held, item } = await service.get(message, {
      isGrpc: true,
      headers: () => headers,
      signal: () => call.signal,
    });
    call.metadata = service.metadata(held);
    call.use(new SingleFrame(toFrame(item)));
    call.start();
  }
}

type RequestHeaders = Pick<Headers, "get">;

function toHeaders(headers: IncomingHttpHeaders): RequestHeaders {
  return { get: (name) => headers[name]?.toString() ?? null };
}

/** The frames of a stream. The frame of a version is the one that all clients and threads share. */
class StreamFrames implements FrameSource {
  readonly #stream: SpecStream;
  readonly #toFrame: CallForm["toFrame"];

  constructor(stream: SpecStream, toItemFrame: CallForm["toFrame"]) {
    this.#stream = stream;
    this.#toFrame = toItemFrame;
  }

  next(): Uint8Array | undefined {
    const item = this.#stream.take();
    return item && this.#toFrame(item);
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
