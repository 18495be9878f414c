import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { eventually, within } from "../common/wait.ts";

/** The ALPN protocols for TLS; ignored on plaintext connections. */
export type Alpn = "http/1.1" | "h2";

/** Uses TLS if the URL is https. Certificates are not checked. */
export function connectTo(url: string, alpn: Alpn): { readonly socket: Socket; readonly connected: string } {
  const { protocol, hostname, port } = new URL(url);
  const to = { host: hostname, port: Number(port) };
  if (protocol !== "https:") return { socket: connect(to), connected: "connect" };
  const socket = connectTls({ ...to, rejectUnauthorized: false, ALPNProtocols: [alpn] });
  return { socket, connected: "secureConnect" };
}

/** A connection on which a test writes any bytes and sees everything that comes back. */
export class RawConnection implements Disposable {
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];
  #isClosed = false;
  readonly #closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#chunks.push(chunk));
    // Many tests expect to be cut off.
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.end());
    this.#closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#isClosed = true;
        resolve();
      });
    });
  }

  /** Rejects if the server closes before the connection is open. */
  static async open(url: string, alpn: Alpn = "http/1.1"): Promise<RawConnection> {
    const { socket, connected } = connectTo(url, alpn);
    const connection = new RawConnection(socket);
    const refused = connection.#closed.then(() => {
      throw new Error("the connection was closed at once");
    });
    refused.catch(() => undefined);
    try {
      await within(Promise.race([once(socket, connected), refused]), 15_000, "a connection");
      return connection;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  write(bytes: string | Uint8Array): void {
    if (!this.#isClosed) this.#socket.write(bytes);
  }

  /** Ends the client's side of the connection. */
  end(): void {
    this.#socket.end();
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.received.toString("latin1");
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Resolves when the server has closed the connection. */
  closed(timeoutMs: number): Promise<void> {
    return within(this.#closed, timeoutMs, "the server to close the connection");
  }

  /** The statuses of the HTTP/1.1 responses so far. */
  get statuses(): number[] {
    return Array.from(this.text.matchAll(/HTTP\/1\.[01] (\d{3}) /g), ([, status]) => Number(status));
  }

  /** Waits until `found` returns a value for what has been received. */
  until<T>(what: string, found: (received: Buffer) => T | undefined, withinMs = 15_000): Promise<T> {
    return eventually(
      () => {
        const result = found(this.received);
        if (result === undefined)
          throw new Error(`not received: ${what}; but ${JSON.stringify(this.text.slice(0, 300))}`);
        return result;
      },
      { withinMs, everyMs: 10 },
    );
  }

  /** Closes abruptly. */
  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
