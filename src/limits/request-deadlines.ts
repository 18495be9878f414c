import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { LASTING_STREAM } from "./arriving-streams.ts";
import type { EmitLimitEvent } from "./events.ts";

/** Takes back HTTP/2 requests that do not end in time: a stream without an end would keep its connection open for ever. */
export class RequestDeadlines {
  readonly #timeoutMs: number;
  readonly #emit: EmitLimitEvent;
  readonly #coming = new Set<ServerHttp2Stream>();

  constructor(timeoutMs: number, emit: EmitLimitEvent) {
    this.#timeoutMs = timeoutMs;
    this.#emit = emit;
  }

  watch(session: ServerHttp2Session): void {
    session.on(LASTING_STREAM, (stream: ServerHttp2Stream) => this.#expect(stream));
    session.once("close", () => {
      for (const stream of this.#coming)
        if (stream.session === session || stream.destroyed) this.#coming.delete(stream);
    });
  }

  /** Shutdown: what has not even been asked yet is not waited for. */
  takeBackAll(): void {
    for (const stream of this.#coming) stream.close(constants.NGHTTP2_REFUSED_STREAM);
  }

  #expect(stream: ServerHttp2Stream): void {
    const takeBack = () => {
      this.#emit({ kind: "limit_reached", limit: "body-timeout-in-s" });
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const deadline = setTimeout(takeBack, this.#timeoutMs).unref();
    this.#coming.add(stream);
    const arrived = () => {
      clearTimeout(deadline);
      this.#coming.delete(stream);
    };
    stream.once("end", arrived);
    stream.once("close", arrived);
  }
}
