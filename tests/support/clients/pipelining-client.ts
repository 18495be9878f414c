import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { eventually, within } from "../common/wait.ts";

/** A client that sends requests and reads nothing before `read` is called. */
export class PipeliningClient implements Disposable {
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];
  #receivedBytes = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#receivedBytes += chunk.length;
    });
    // The listener has made the socket read.
    socket.pause();
  }

  static async connect(url: string): Promise<PipeliningClient> {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port) });
    await within(once(socket, "connect"), 15_000, "a connection");
    return new PipeliningClient(socket);
  }

  request(path: string): void {
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n`);
  }

  /** Reads until it has received as many bytes, and returns what it has received. */
  async read(bytes: number): Promise<Buffer> {
    this.#socket.resume();
    await eventually(
      () => {
        if (this.#receivedBytes < bytes) throw new Error(`received ${this.#receivedBytes} of ${bytes} bytes`);
      },
      { withinMs: 20_000 },
    );
    return Buffer.concat(this.#chunks);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** A path that is requested, and the body that the response must have. */
export interface Requested {
  readonly path: string;
  readonly body: string;
}

/** More than the buffers of both ends of a connection hold. */
const MORE_THAN_BUFFERED_BYTES = 24_000_000;

/**
 * Has a client send requests without reading, until its connection takes no more and beyond that, and another client request something
 * else after each of them. Returns how many responses of the first client are not, byte for byte, what they must be. The relay must not
 * poll meanwhile, since headers say when upstream has confirmed the version.
 */
export async function countMixedResponses(
  url: string,
  stalled: Requested,
  other: Requested,
): Promise<number> {
  using sample = await PipeliningClient.connect(url);
  sample.request(stalled.path);
  const head = (await sample.read(stalled.body.length)).toString("latin1").split("\r\n\r\n")[0] ?? "";
  const expected = withoutDate(`${head}\r\n\r\n${stalled.body}`);
  const times = Math.ceil(MORE_THAN_BUFFERED_BYTES / expected.length);
  using client = await PipeliningClient.connect(url);
  for (let sent = 0; sent < times; sent++) {
    client.request(stalled.path);
    const response = await fetch(`${url}${other.path}`, { headers: { "accept-encoding": "identity" } });
    if ((await response.text()) !== other.body) throw new Error("the other client got another body");
  }
  const received = withoutDate((await client.read(expected.length * times)).toString("latin1"));
  const starts = Array.from({ length: times }, (_, index) => index * expected.length);
  return starts.filter((start) => received.slice(start, start + expected.length) !== expected).length;
}

/** Dates have one length. */
const withoutDate = (text: string) =>
  text.replaceAll(/(?<=\r\ndate: )[^\r]*/g, (date) => "-".repeat(date.length));
