import { createServer, type Server } from "node:http";

/** A fake upstream that accepts or refuses log events. It counts them by their count header and decompresses nothing. */
export class EventUpstream implements AsyncDisposable {
  readonly #server: Server;
  #events = 0;
  #requests = 0;
  #bytes = 0;

  private constructor(status: number) {
    this.#server = createServer((request, response) => {
      request.on("data", (chunk: Uint8Array) => {
        this.#bytes += chunk.length;
      });
      request.on("end", () => {
        this.#requests++;
        this.#events += Number(request.headers["statsig-event-count"] ?? 0);
        response.writeHead(status, { "content-type": "application/json" }).end('{"success":true}');
      });
    });
  }

  static async start(port = 0, status = 202): Promise<EventUpstream> {
    const upstream = new EventUpstream(status);
    await new Promise<void>((resolve) => upstream.#server.listen(port, "127.0.0.1", resolve));
    return upstream;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the upstream is not listening");
    return `http://127.0.0.1:${address.port}`;
  }

  get counts() {
    return { events: this.#events, requests: this.#requests, bytes: this.#bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
