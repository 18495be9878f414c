import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "../common/free-port.ts";

/** An address that can be switched to another server, like a DNS name or a load balancer; open connections stay. */
export class SwitchedProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** No other test gets it once this is closed, as for an upstream that is down. */
  readonly port: number;
  #targetPort: number;

  private constructor(port: number, targetPort: number) {
    this.port = port;
    this.#targetPort = targetPort;
    this.#server = createServer((client) => {
      const server = connect(this.#targetPort, "127.0.0.1");
      for (const [socket, other] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
  }

  static async start(targetPort: number): Promise<SwitchedProxy> {
    const proxy = new SwitchedProxy(await freePort(), targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(proxy.port, "127.0.0.1", resolve));
    return proxy;
  }

  /** Applies from the next connection on. */
  switchTo(targetPort: number): void {
    this.#targetPort = targetPort;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
