import { constants, type ServerHttp2Stream } from "node:http2";
import type { FramePump, Writing } from "../streams/frame-pump.ts";
import { StatusError } from "../streams/status-error.ts";
import type { CallForm } from "./call-forms.ts";
import type { HeldBytes } from "./held-bytes.ts";
import { tooLarge } from "./request-envelope.ts";
import { toTrailers } from "./trailers.ts";

/** What a call sends. */
export interface FrameSource {
  /** Returns the gRPC frame to send next; undefined if there is none now. */
  next(): Uint8Array | undefined;
  /** The frame returned last has been sent. */
  sent(): void;
  /** How the call ends once there is no next frame; undefined if it does not yet. */
  readonly ended: StatusError | "ok" | undefined;
  /** The call is over. */
  close(): void;
}

/** What a call is. */
interface CallKind {
  /** Whether its response is a stream, rather than one message. */
  readonly isStream: boolean;
  readonly form: CallForm;
}

/** What the calls of a listener share. */
export interface CallScope {
  readonly pump: FramePump;
  readonly heldBytes: HeldBytes;
  /** Called once for each call, when it is over. */
  onOver(call: GrpcCall): void;
}

/** A server's end of a call with one request message, on a bare HTTP/2 stream. */
export class GrpcCall implements Writing {
  /** Sent with the response headers. */
  metadata: Readonly<Record<string, string>> = {};
  /** Whether its response is a stream, rather than one message. */
  readonly isStream: boolean;
  readonly stream: ServerHttp2Stream;
  readonly #form: CallForm;
  readonly #scope: CallScope;
  readonly #cancellation = new LazyAbort();
  /** The flow-control window with which the client's streams begin. */
  readonly #windowBytes: number;
  #source: FrameSource | undefined;
  /** The frame that is being sent, and the offset of its next slice. */
  #frame: Uint8Array | undefined;
  #at = 0;
  /** The size of the slice that is being written. */
  #heldBytes = 0;
  /** When it was written, as in `performance.now()`. */
  #heldSince = 0;
  /** Whether a slice is being written, or waits for its turn. */
  #isBusy = false;
  #isStarted = false;
  #endsWith: StatusError | "ok" | undefined;
  #isEnded = false;

  #deadline: NodeJS.Timeout | undefined;

  constructor(stream: ServerHttp2Stream, { isStream, form }: CallKind, scope: CallScope) {
    this.stream = stream;
    this.isStream = isStream;
    this.#form = form;
    this.#scope = scope;
    this.#windowBytes = stream.session?.remoteSettings.initialWindowSize ?? 0;
    stream.once("close", () => this.closed());
  }

  /** Aborted with a {@link StatusError} if the client cancels the call or its deadline passes before it has been answered. */
  get signal(): AbortSignal {
    return this.#cancellation.signal;
  }

  setDeadline(ms: number): void {
    this.#deadline = setTimeout(
      () => this.#cut(new StatusError("deadline_exceeded", "the deadline passed")),
      ms,
    );
  }

  /** Resolves with the bytes of the request, undefined if the client is gone. Rejects above `maxBytes`. */
  async readBody(maxBytes: number): Promise<Uint8Array | undefined> {
    const body = new BodyCollector(this.stream, maxBytes);
    try {
      return await body.collected;
    } finally {
      // Listeners would stay in memory as long as the stream is open.
      body.detach();
    }
  }

  /** Has the call send what `source` has. `source` is closed with the call, and from now on calls {@link wake}. */
  use(source: FrameSource): void {
    this.#source = source;
    if (this.#isEnded) source.close();
  }

  /** Sends the response headers, and then the frames of the source. */
  start(): void {
    this.#isStarted = true;
    this.#respond();
    this.wake();
  }

  /** The source has something to send, or has ended. */
  wake(): void {
    if (!this.#isStarted || this.#isBusy || this.#isEnded) return;
    this.#isBusy = true;
    this.#scope.pump.add(this);
  }

  writeSlice(): void {
    this.#isBusy = false;
    if (this.#isEnded) return;
    this.#frame ??= this.#nextFrame();
    if (this.#frame === undefined) {
      const end = this.#endsWith ?? this.#source?.ended;
      if (end !== undefined) this.#finish(end);
      return;
    }
    const { heldBytes } = this.#scope;
    const slice = this.#frame.subarray(this.#at, this.#at + heldBytes.sliceBytes(this.#windowBytes));
    this.#at += slice.length;
    this.#isBusy = true;
    this.#heldBytes = slice.length;
    this.#heldSince = performance.now();
    heldBytes.add(slice.length);
    this.stream.write(slice, this.#written);
  }

  /** Ends the call after the frame that is being sent. */
  end(status: StatusError): void {
    if (this.#isEnded) return;
    this.#endsWith ??= status;
    if (this.#isStarted) this.wake();
    else this.#finish(this.#endsWith);
  }

  /**
   * Resets the stream if its client has taken nothing of what was written `ms` ago: it would hold the version that was sent to it for
   * ever.
   */
  cutIfUnread(ms: number): void {
    const isUnread = this.#heldBytes > 0 && performance.now() - this.#heldSince >= ms;
    if (isUnread) this.stream.close(constants.NGHTTP2_CANCEL);
  }

  /** The stream or its connection is closed. */
  closed(): void {
    this.#cancellation.abort(new StatusError("canceled", "the client cancelled the call"));
    this.#over();
  }

  /** Not a method: one function serves all slices. */
  readonly #written = (): void => {
    this.#isBusy = false;
    this.#release();
    if (this.#frame !== undefined && this.#at >= this.#frame.length) {
      this.#frame = undefined;
      this.#at = 0;
      this.#source?.sent();
    }
    this.wake();
  };

  #nextFrame(): Uint8Array | undefined {
    return this.#endsWith === undefined ? this.#source?.next() : undefined;
  }

  /** Ends the call at once, even if the client does not read the frame that is being sent. */
  #cut(status: StatusError): void {
    this.#cancellation.abort(status);
    if (this.#frame === undefined) this.end(status);
    else this.stream.close(constants.NGHTTP2_CANCEL);
  }

  #respond(): void {
    const { headersSent, destroyed } = this.stream;
    if (headersSent || destroyed) return;
    const { contentType, endFrame } = this.#form;
    const headers = { ":status": 200, "content-type": contentType, ...this.metadata };
    this.stream.respond(headers, { waitForTrailers: endFrame === undefined });
  }

  #finish(end: StatusError | "ok"): void {
    const stream = this.stream;
    this.#respond();
    this.#over();
    const { endFrame } = this.#form;
    // Only unary calls, which end with trailers, end without an error.
    if (endFrame !== undefined && end !== "ok") {
      stream.end(endFrame(end));
      return;
    }
    stream.once("wantTrailers", () => stream.sendTrailers(toTrailers(end)));
    stream.end();
  }

  #release(): void {
    this.#scope.heldBytes.subtract(this.#heldBytes);
    this.#heldBytes = 0;
  }

  #over(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    // A write to a stream that was reset may never call back.
    this.#release();
    clearTimeout(this.#deadline);
    this.#source?.close();
    this.#scope.onOver(this);
  }
}

/** Makes its signal when it is first needed: an AbortController for each stream would take more memory than all the rest. */
class LazyAbort {
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#reason ??= reason;
    this.#controller?.abort(this.#reason);
  }
}

/** Collects the body of a request. */
class BodyCollector {
  readonly #stream: ServerHttp2Stream;
  readonly #maxBytes: number;
  readonly #collected = Promise.withResolvers<Uint8Array | undefined>();
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  constructor(stream: ServerHttp2Stream, maxBytes: number) {
    this.#stream = stream;
    this.#maxBytes = maxBytes;
    stream.on("data", this.#take);
    stream.on("close", this.#gone);
    if (stream.readableEnded) this.#end();
    else stream.on("end", this.#end);
  }

  get collected(): Promise<Uint8Array | undefined> {
    return this.#collected.promise;
  }

  /** The rest of the body is ignored. */
  detach(): void {
    const stream = this.#stream;
    stream.off("data", this.#take);
    stream.off("close", this.#gone);
    stream.off("end", this.#end);
    stream.resume();
  }

  readonly #take = (chunk: Uint8Array): void => {
    this.#size += chunk.length;
    if (this.#size <= this.#maxBytes) this.#chunks.push(chunk);
    else this.#collected.reject(tooLarge());
  };

  readonly #end = (): void => this.#collected.resolve(Buffer.concat(this.#chunks));

  readonly #gone = (): void => this.#collected.resolve(undefined);
}
