import type { Socket } from "node:net";
import { FrameParser } from "./frame-parser.ts";
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  FRAME,
  type Frame,
  frame,
  PREFACE,
  requestHeaders,
  uint32,
} from "./http2-frames.ts";
import { connectTo } from "./raw-connection.ts";
import { STREAM_CONFIG_SPEC } from "./raw-grpc-client.ts";
import { rpcFrame } from "./rpc-frames.ts";

/** What a stream receives. Headers are not decoded. */
export interface StreamEvents {
  /** Response headers. `isEnd`: they are the trailers, or the server refuses the call. */
  readonly onHeaders?: (isEnd: boolean) => void;
  readonly onData?: (payload: Buffer) => void;
  /** The server ended or reset the stream, or the connection was lost. Not called if the client resets it. */
  readonly onEnd?: (how: "ended" | "reset" | "lost") => void;
}

export interface StreamConnectionOptions {
  /** What each stream may receive before the client acknowledges it. Default: 65,535, which HTTP/2 begins with. */
  readonly streamWindow?: number;
  /** The same for all streams of the connection together, at least 65,535. */
  readonly connectionWindow?: number;
  /** Whether the client acknowledges what it receives, so that more can follow. Default: true. */
  readonly acknowledges?: boolean;
  readonly onGoaway?: () => void;
  readonly onClose?: () => void;
}

interface OpenStream {
  readonly events: StreamEvents;
  /** Received and not acknowledged. */
  unacknowledged: number;
}

const DEFAULT_WINDOW = 65_535;
const INITIAL_WINDOW_SIZE = 4;

/** An HTTP/2 connection for many streams at little cost: it parses frames, but decodes no headers. */
export class StreamConnection implements Disposable {
  readonly #socket: Socket;
  readonly #options: StreamConnectionOptions;
  readonly #streamWindow: number;
  readonly #connectionWindow: number;
  readonly #parser = new FrameParser((received) => this.#receive(received));
  readonly #streams = new Map<number, OpenStream>();
  readonly #pings: (() => void)[] = [];
  #unsent: Buffer[] = [];
  #unacknowledged = 0;
  #nextId = 1;
  #isClosed = false;

  private constructor(socket: Socket, options: StreamConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#streamWindow = options.streamWindow ?? DEFAULT_WINDOW;
    this.#connectionWindow = options.connectionWindow ?? DEFAULT_WINDOW;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      this.#parser.push(chunk);
      this.#flush();
    });
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.end());
    socket.once("close", () => this.#closed());
    const windowSetting = Buffer.alloc(6);
    windowSetting.writeUInt16BE(INITIAL_WINDOW_SIZE, 0);
    windowSetting.writeUInt32BE(this.#streamWindow, 2);
    const more = this.#connectionWindow - DEFAULT_WINDOW;
    this.send(
      PREFACE,
      frame(FRAME.settings, 0, 0, windowSetting),
      ...(more > 0 ? [frame(FRAME.windowUpdate, 0, 0, uint32(more))] : []),
    );
  }

  /** Rejects if the server does not accept the connection. */
  static async open(url: string, options: StreamConnectionOptions = {}): Promise<StreamConnection> {
    const { socket, connected } = connectTo(url, "h2");
    await new Promise<void>((resolve, reject) => {
      socket.once(connected, resolve);
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("the connection was closed at once")));
    });
    return new StreamConnection(socket, options);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The streams that neither side has ended. */
  get openStreams(): number {
    return this.#streams.size;
  }

  /**
   * Requests StreamConfigSpec with an encoded message, and returns the number of the stream. With `endsLater` the request has no end
   * before {@link endRequest}.
   */
  open(
    message: Uint8Array,
    events: StreamEvents = {},
    {
      headers = {},
      endsLater = false,
    }: { headers?: Readonly<Record<string, string>>; endsLater?: boolean } = {},
  ): number {
    const block = requestHeaders("POST", STREAM_CONFIG_SPEC, {
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    const flags = endsLater ? 0 : END_STREAM;
    return this.openWith(block, [rpcFrame(message)], events, flags);
  }

  /** Sends a request with this header block, and its body. */
  openWith(block: Buffer, body: readonly Buffer[], events: StreamEvents, lastFlags = END_STREAM): number {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#streams.set(id, { events, unacknowledged: 0 });
    const data = body.map((bytes, at) =>
      frame(FRAME.data, at === body.length - 1 ? lastFlags : 0, id, bytes),
    );
    this.send(frame(FRAME.headers, END_HEADERS, id, block), ...data);
    return id;
  }

  /** Ends a request that was left open. */
  endRequest(id: number): void {
    this.send(frame(FRAME.data, END_STREAM, id));
  }

  /** Resets a stream. Its events are not called any more. */
  reset(id: number, code: number): void {
    if (this.#streams.delete(id)) this.send(frame(FRAME.rstStream, 0, id, uint32(code)));
  }

  goAway(): void {
    this.send(frame(FRAME.goaway, 0, 0, Buffer.concat([uint32(0), uint32(0)])));
  }

  /** Resolves when the server has responded to a PING, with the time that it took in ms. Rejects if the connection is lost. */
  ping(): Promise<number> {
    const sentAt = performance.now();
    return new Promise((resolve, reject) => {
      if (this.#isClosed) reject(new Error("the connection is closed"));
      this.#pings.push(() =>
        this.#isClosed ? reject(new Error("the connection was lost")) : resolve(performance.now() - sentAt),
      );
      this.send(frame(FRAME.ping, 0, 0, Buffer.alloc(8)));
    });
  }

  /** Stops reading from the connection. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** All frames of one call, and of the calls in the same turn, are sent in one write. */
  send(...frames: readonly Buffer[]): void {
    if (this.#unsent.length === 0) queueMicrotask(() => this.#flush());
    this.#unsent.push(...frames);
  }

  /** Cuts the connection without GOAWAY. */
  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #flush(): void {
    const frames = this.#unsent;
    this.#unsent = [];
    if (frames.length > 0 && !this.#isClosed) this.#socket.write(Buffer.concat(frames));
  }

  #receive({ type, flags, streamId, payload }: Frame): void {
    switch (type) {
      case FRAME.data:
        this.#received(streamId, payload);
        if ((flags & END_STREAM) > 0) this.#end(streamId, "ended");
        return;
      case FRAME.headers: {
        const isEnd = (flags & END_STREAM) > 0;
        this.#streams.get(streamId)?.events.onHeaders?.(isEnd);
        if (isEnd) this.#end(streamId, "ended");
        return;
      }
      case FRAME.rstStream:
        this.#end(streamId, "reset");
        return;
      case FRAME.settings:
        if ((flags & ACK) === 0) this.send(frame(FRAME.settings, ACK, 0));
        return;
      case FRAME.ping:
        if ((flags & ACK) === 0) this.send(frame(FRAME.ping, ACK, 0, payload));
        else this.#pings.shift()?.();
        return;
      case FRAME.goaway:
        this.#options.onGoaway?.();
    }
  }

  #received(streamId: number, payload: Buffer): void {
    const stream = this.#streams.get(streamId);
    if (this.#options.acknowledges ?? true) {
      this.#unacknowledged += payload.length;
      if (2 * this.#unacknowledged >= this.#connectionWindow) {
        this.send(frame(FRAME.windowUpdate, 0, 0, uint32(this.#unacknowledged)));
        this.#unacknowledged = 0;
      }
      if (stream !== undefined) {
        stream.unacknowledged += payload.length;
        if (2 * stream.unacknowledged >= this.#streamWindow) {
          this.send(frame(FRAME.windowUpdate, 0, streamId, uint32(stream.unacknowledged)));
          stream.unacknowledged = 0;
        }
      }
    }
    stream?.events.onData?.(payload);
  }

  #end(streamId: number, how: "ended" | "reset"): void {
    const stream = this.#streams.get(streamId);
    this.#streams.delete(streamId);
    stream?.events.onEnd?.(how);
  }

  #closed(): void {
    this.#isClosed = true;
    const lost = [...this.#streams.values()];
    this.#streams.clear();
    for (const { events } of lost) events.onEnd?.("lost");
    for (const settle of this.#pings.splice(0)) settle();
    this.#options.onClose?.();
  }
}
