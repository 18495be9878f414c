import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { eventually, within } from "../common/wait.ts";

/** One HTTP/1.1 connection over TLS, on which requests follow each other. */
export class KeptConnection implements Disposable {
  readonly #socket: TLSSocket;
  readonly #host: string;
  #text = "";
  #statuses = 0;

  private constructor(socket: TLSSocket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      this.#text += chunk;
    });
    socket.on("error", () => undefined);
  }

  static async open(url: string): Promise<KeptConnection> {
    const { hostname, port, host } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false });
    await within(once(socket, "secureConnect"), 15_000, "a handshake");
    return new KeptConnection(socket, host);
  }

  /** Resolves with the status of a GET. Rejects if the server closed the connection. */
  async get(path: string): Promise<number> {
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n\r\n`);
    this.#statuses++;
    return eventually(
      () => {
        const statuses = [...this.#text.matchAll(/HTTP\/1\.1 (\d{3})/g)];
        const status = statuses[this.#statuses - 1]?.[1];
        if (status === undefined) throw new Error(`no response, but ${this.#text.slice(-200)}`);
        return Number(status);
      },
      { withinMs: 15_000 },
    );
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
