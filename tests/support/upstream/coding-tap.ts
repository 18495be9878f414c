import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** A response as it passed through, still encoded. */
export interface TappedAnswer {
  readonly url: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: number;
}

/**
 * A proxy between an SDK and the relay that replaces Accept-Encoding, because an SDK that offers several codings lets the relay
 * choose. It does not change bodies.
 */
export class CodingTap implements AsyncDisposable {
  readonly answers: TappedAnswer[] = [];
  readonly #server = createServer((incoming, outgoing) => {
    this.#pass(incoming, outgoing).catch(() => outgoing.destroy());
  });
  readonly #target: string;
  readonly #acceptEncoding: string;

  private constructor(target: string, acceptEncoding: string) {
    this.#target = target;
    this.#acceptEncoding = acceptEncoding;
  }

  static async start(target: string, acceptEncoding: string): Promise<CodingTap> {
    const tap = new CodingTap(target, acceptEncoding);
    await new Promise<void>((resolve) => tap.#server.listen(0, "127.0.0.1", resolve));
    return tap;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const url = incoming.url ?? "/";
    const headers = { ...incoming.headers, "accept-encoding": this.#acceptEncoding };
    const onward = request(new URL(url, this.#target), { method: incoming.method, headers });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      onward.once("response", resolve).once("error", reject);
    });
    onward.end(await buffer(incoming));
    const answer = await answered;
    const body = await buffer(answer);
    const status = answer.statusCode ?? 0;
    this.answers.push({ url, status, headers: answer.headers, bytes: body.byteLength });
    outgoing.writeHead(status, answer.headers);
    outgoing.end(body);
  }
}
