import { type AddressInfo, connect, createServer, type Socket } from "node:net";

interface Tapped {
  readonly client: Socket;
  readonly passwords: string[];
}

const LOGIN = /\$4\r\nAUTH\r\n(?:\$\d+\r\n(?:.*)\r\n)?\$\d+\r\n(.*)\r\n/gi;

/** A proxy before Redis that knows the last password of each open connection, and can close connections by it as Azure does. */
export class LoginTap implements AsyncDisposable {
  readonly #open = new Set<Tapped>();
  readonly #server = createServer((client) => {
    const server = connect(this.#port, "127.0.0.1");
    const tapped: Tapped = { client, passwords: [] };
    this.#open.add(tapped);
    client.on("data", (chunk) => {
      for (const [, password = ""] of chunk.toString("latin1").matchAll(LOGIN))
        tapped.passwords.push(password);
    });
    client.on("close", () => this.#open.delete(tapped));
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      socket.on("error", () => socket.destroy());
      socket.on("close", () => other.destroy());
      socket.pipe(other);
    }
  });
  readonly #port: number;

  private constructor(port: number) {
    this.#port = port;
  }

  static async start(port: number): Promise<LoginTap> {
    const tap = new LoginTap(port);
    await new Promise<void>((resolve) => tap.#server.listen(0, "127.0.0.1", resolve));
    return tap;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The last password of each open connection. */
  get passwords(): readonly (string | undefined)[] {
    return [...this.#open].map(({ passwords }) => passwords.at(-1));
  }

  /** Closes the connections that did not log in with this password since. Returns their number. */
  closeOthers(password: string): number {
    const others = [...this.#open].filter(({ passwords }) => passwords.at(-1) !== password);
    for (const { client } of others) client.destroy();
    return others.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const { client } of this.#open) client.destroy();
  }
}
