import type { Http2SecureServer, Http2Server, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";

/**
 * Clients that read send frames all the time, with which Bun sends what it can. Doing that after each write would cost half as much CPU again
 * during an update, since most streams wait for the window of their connection then.
 */
const FLUSH_AFTER_MS = 10;

/**
 * Has what is written to a stream sent although the client does not read another stream of the connection. As soon as one stream waits
 * for its flow-control window, Bun queues the DATA of all streams of its connection, and sends from that queue only when a frame
 * arrives or the socket drains: the other clients of a proxy's connection would wait for the one that does not read.
 */
export class WriteFlusher {
  readonly #sockets: ReadonlyMap<ServerHttp2Session, Socket>;
  /** Those that were written to in the last {@link FLUSH_AFTER_MS}. */
  #written: ServerHttp2Stream[] = [];
  readonly #flushWritten = () => this.#flush();

  /** `sockets` has the socket of each open session. */
  constructor(sockets: ReadonlyMap<ServerHttp2Session, Socket>) {
    this.#sockets = sockets;
  }

  /** Must be called before any other listener of streams is added, since one of them may write at once. */
  watch(server: Http2Server | Http2SecureServer): void {
    const wrote = (stream: ServerHttp2Stream) => {
      if (this.#written.push(stream) === 1) setTimeout(this.#flushWritten, FLUSH_AFTER_MS).unref();
    };
    // Shared by all streams: a closure for each stream would cost more than the check does.
    const methods = {
      write(this: ServerHttp2Stream, ...args: unknown[]): unknown {
        wrote(this);
        return Reflect.apply(Object.getPrototypeOf(this).write, this, args);
      },
      end(this: ServerHttp2Stream, ...args: unknown[]): unknown {
        wrote(this);
        return Reflect.apply(Object.getPrototypeOf(this).end, this, args);
      },
    };
    server.prependListener("stream", (stream: ServerHttp2Stream) => void Object.assign(stream, methods));
  }

  #flush(): void {
    const written = this.#written;
    this.#written = [];
    const waiting = new Set<ServerHttp2Session>();
    for (const stream of written) {
      if (isUnsent(stream)) waiting.add(stream.session as ServerHttp2Session);
    }
    // Bun's session listens to it, and sends what it can.
    for (const session of waiting) this.#sockets.get(session)?.emit("drain");
  }
}

function isUnsent({
  destroyed,
  writableLength,
  writableEnded,
  writableFinished,
}: ServerHttp2Stream): boolean {
  return !destroyed && (writableLength > 0 || (writableEnded && !writableFinished));
}
