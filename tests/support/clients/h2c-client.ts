import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
} from "node:http2";
import { buffer } from "node:stream/consumers";
import { within } from "../common/wait.ts";
import { FrameQueue } from "./rpc-frames.ts";

export interface H2cResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
}

/** A response whose frames are read as they arrive. */
export class H2cCall implements Disposable {
  readonly frames = new FrameQueue();
  readonly #stream: ClientHttp2Stream;
  readonly #headers: Promise<IncomingHttpHeaders>;
  readonly #trailers: Promise<IncomingHttpHeaders>;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    this.#headers = new Promise((resolve) => stream.once("response", resolve));
    this.#trailers = new Promise((resolve) => stream.once("trailers", resolve));
    stream.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => this.frames.push(chunk));
    stream.once("close", () => this.frames.end());
  }

  headers(timeoutMs = 15_000): Promise<IncomingHttpHeaders> {
    return within(this.#headers, timeoutMs, "response headers");
  }

  trailers(timeoutMs = 15_000): Promise<IncomingHttpHeaders> {
    return within(this.#trailers, timeoutMs, "trailers");
  }

  [Symbol.dispose](): void {
    this.#stream.close();
  }
}

/** HTTP/2 in plaintext over one connection, without a gRPC or Connect library. */
export class H2cClient implements Disposable {
  readonly #session: ClientHttp2Session;

  constructor(url: string) {
    this.#session = connect(url);
    this.#session.on("error", () => undefined);
  }

  /** Sends a POST and waits for the end of the response. */
  async post(
    path: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array | string,
  ): Promise<H2cResponse> {
    const stream = this.#send(path, headers, body);
    let [received, trailers]: IncomingHttpHeaders[] = [{}, {}];
    stream.once("response", (all) => {
      received = all;
    });
    stream.once("trailers", (all) => {
      trailers = all;
    });
    const whole = await within(buffer(stream), 15_000, "a whole answer");
    return {
      status: Number(received?.[":status"]),
      headers: received ?? {},
      body: whole,
      trailers: trailers ?? {},
    };
  }

  open(path: string, headers: Readonly<Record<string, string>>, body: Uint8Array | string): H2cCall {
    return new H2cCall(this.#send(path, headers, body));
  }

  /** Resolves when the server has responded to a PING. */
  ping(): Promise<void> {
    const answered = new Promise<void>((resolve, reject) => {
      this.#session.ping((error) => (error ? reject(error) : resolve()));
    });
    return within(answered, 15_000, "an answer to PING");
  }

  /** Closes without GOAWAY. */
  [Symbol.dispose](): void {
    this.#session.destroy();
  }

  #send(
    path: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array | string,
  ): ClientHttp2Stream {
    const stream = this.#session.request({ ":method": "POST", ":path": path, ...headers });
    stream.end(body);
    return stream;
  }
}
