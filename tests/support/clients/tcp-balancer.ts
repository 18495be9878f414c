import { type AddressInfo, connect, createServer, type Socket } from "node:net";

interface Target {
  readonly port: number;
  isRemoved: boolean;
  open: number;
}

/** A load balancer of TCP connections: each new one goes to the target that has the fewest. */
export class TcpBalancer implements AsyncDisposable {
  readonly #targets: Target[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((client) => this.#forward(client));

  static async start(...ports: readonly number[]): Promise<TcpBalancer> {
    const balancer = new TcpBalancer();
    for (const port of ports) balancer.add(port);
    await new Promise<void>((resolve) => balancer.#server.listen(0, "127.0.0.1", resolve));
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  add(port: number): void {
    this.#targets.push({ port, isRemoved: false, open: 0 });
  }

  /** Gives the target no further connections. It keeps those that it has. */
  remove(port: number): void {
    for (const target of this.#targets) if (target.port === port) target.isRemoved = true;
  }

  /** The open connections of each target, in the order in which they were added. */
  get connections(): readonly number[] {
    return this.#targets.map(({ open }) => open);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #forward(client: Socket): void {
    const targets = this.#targets.filter(({ isRemoved }) => !isRemoved);
    const [target] = targets.toSorted((a, b) => a.open - b.open);
    if (target === undefined) throw new Error("the balancer has no target");
    target.open++;
    const server = connect(target.port, "127.0.0.1");
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.pipe(other);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    server.once("close", () => target.open--);
  }
}
