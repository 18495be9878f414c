import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

/** Accepts connections, and responds to all input with the same bytes; never sends one if they are empty. */
export class FixedReplyServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The connections so far. */
  accepted = 0;

  private constructor(answer: string) {
    this.#server = createServer((socket) => {
      this.accepted++;
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("data", () => socket.write(answer, "latin1"));
    });
  }

  static async start(answer: string): Promise<FixedReplyServer> {
    const server = new FixedReplyServer(answer);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  /** The connections that neither side has closed. */
  get open(): number {
    return this.#sockets.size;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
