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

/** Returns the body that the SDK gets. */
type AlterBody = (answer: TappedAnswer, body: Buffer) => Buffer;

/**
 * A proxy between an SDK and the relay that replaces Accept-Encoding, because an SDK that offers several codings lets the relay
 * choose. It changes bodies only if it is told how.
 */
export class CodingTap implements AsyncDisposable {
  readonly answers: TappedAnswer[] = [];
  readonly #server = createServer((incoming, outgoing) => {
    this.#pass(incoming, outgoing).catch(() => outgoing.destroy());
  });
  readonly #targets: readonly string[];
  readonly #acceptEncoding: string;
  readonly #alter: AlterBody | undefined;

  private constructor(targets: readonly string[], acceptEncoding: string, alter: AlterBody | undefined) {
    this.#targets = targets;
    this.#acceptEncoding = acceptEncoding;
    this.#alter = alter;
  }

  /** Of several targets, each gets one request in turn. */
  static async start(
    target: string | readonly string[],
    acceptEncoding: string,
    alter?: AlterBody,
  ): Promise<CodingTap> {
    const tap = new CodingTap([target].flat(), acceptEncoding, alter);
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
    const target = this.#targets[this.answers.length % this.#targets.length];
    const onward = request(new URL(url, target), { method: incoming.method, headers });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      onward.once("response", resolve).once("error", reject);
    });
    onward.end(await buffer(incoming));
    const answer = await answered;
    const body = await buffer(answer);
    const status = answer.statusCode ?? 0;
    const tapped = { url, status, headers: answer.headers, bytes: body.byteLength };
    this.answers.push(tapped);
    const altered = this.#alter?.(tapped, body) ?? body;
    outgoing.writeHead(status, { ...answer.headers, "content-length": altered.byteLength });
    outgoing.end(altered);
  }
}
