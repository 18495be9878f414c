import {
  CANCEL,
  END_HEADERS,
  END_STREAM,
  FRAME,
  type Frame,
  frame,
  MAX_CONCURRENT_STREAMS,
  OPENING,
  readFrames,
  requestHeaders,
  uint32,
} from "./http2-frames.ts";
import { RawConnection } from "./raw-connection.ts";
import { STREAM_CONFIG_SPEC } from "./raw-grpc-client.ts";
import { rpcFrame } from "./rpc-frames.ts";

/** An HTTP/2 connection that is written frame by frame and ignores all limits that the server announces. */
export class RawHttp2 implements Disposable {
  readonly connection: RawConnection;

  private constructor(connection: RawConnection) {
    this.connection = connection;
  }

  static async open(url: string): Promise<RawHttp2> {
    const connection = await RawConnection.open(url, "h2");
    connection.write(OPENING);
    return new RawHttp2(connection);
  }

  get frames(): Frame[] {
    return readFrames(this.connection.received);
  }

  send(...frames: readonly Buffer[]): void {
    this.connection.write(Buffer.concat(frames));
  }

  /** Resolves with a frame that `fits`, received already or in time. */
  received(what: string, fits: (frame: Frame) => boolean, withinMs = 15_000): Promise<Frame> {
    return this.connection.until(what, () => this.frames.find(fits), withinMs);
  }

  /** The server's value of this setting; undefined if it sends none. */
  async setting(id: number): Promise<number | undefined> {
    const isSettings = ({ type, flags }: Frame) => type === FRAME.settings && flags === 0;
    const { payload } = await this.received("SETTINGS", isSettings);
    for (let at = 0; at + 6 <= payload.byteLength; at += 6) {
      if (payload.readUInt16BE(at) === id) return payload.readUInt32BE(at + 2);
    }
    return undefined;
  }

  maxConcurrentStreams(): Promise<number | undefined> {
    return this.setting(MAX_CONCURRENT_STREAMS);
  }

  /** Requests a stream of specs over Connect, which every port supports and which continues until it is ended. */
  openSpecStream(streamId: number, sdkKey: string): void {
    const headers = requestHeaders("POST", STREAM_CONFIG_SPEC, {
      "content-type": "application/connect+json",
    });
    this.send(
      frame(FRAME.headers, END_HEADERS, streamId, headers),
      frame(FRAME.data, END_STREAM, streamId, rpcFrame(JSON.stringify({ sdkKey }))),
    );
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
  }
}

/** Opens `count` streams and cancels each at once, in one write. `first` is the number of streams opened before. */
export function cancelStreams(client: RawHttp2, first: number, count: number): void {
  const call = requestHeaders("POST", STREAM_CONFIG_SPEC, { "content-type": "application/grpc" });
  const pairs = Array.from({ length: count }, (_, at) => {
    const streamId = 2 * (first + at) + 1;
    return [
      frame(FRAME.headers, END_HEADERS, streamId, call),
      frame(FRAME.rstStream, 0, streamId, uint32(CANCEL)),
    ];
  });
  client.send(...pairs.flat());
}
