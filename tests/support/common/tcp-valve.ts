import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A proxy that can stop reading from the server, like a client that does not read. */
export class TcpValve implements AsyncDisposable {
  readonly #sockets: Socket[] = [];
  readonly #fromServer: Socket[] = [];
  readonly #server = createServer((client) => {
    const server = connect(this.#targetPort, "127.0.0.1");
    for (const socket of [client, server]) {
      this.#sockets.push(socket);
      socket.on("error", () => socket.destroy());
    }
    this.#fromServer.push(server);
    client.pipe(server);
    server.on("data", (chunk) => client.write(chunk));
  });
  readonly #targetPort: number;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  static async start(targetPort: number): Promise<TcpValve> {
    const valve = new TcpValve(targetPort);
    await new Promise<void>((resolve) => valve.#server.listen(0, "127.0.0.1", resolve));
    return valve;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const socket of this.#fromServer) socket.pause();
  }

  open(): void {
    for (const socket of this.#fromServer) socket.resume();
  }

  /** Stops both directions without closing a connection, as when the link is down. */
  cut(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
