import { createSocket, type Socket } from "node:dgram";
import { freePort } from "../common/free-port.ts";

/** A StatsD agent on a UDP port of the loopback interface. */
export class UdpListener implements Disposable {
  readonly datagrams: string[] = [];
  readonly #socket: Socket;
  /** Datagrams of this process -> what resolves when one is read. */
  readonly #marks = new Map<string, () => void>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (message) => {
      const text = message.toString();
      const mark = this.#marks.get(text);
      if (mark === undefined) this.datagrams.push(text);
      else mark();
    });
  }

  static async start(port = 0, host = "127.0.0.1"): Promise<UdpListener> {
    const socket = createSocket({ type: host.includes(":") ? "udp6" : "udp4", recvBufferSize: 4_000_000 });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(port, host, resolve);
    });
    return new UdpListener(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** Resolves when all datagrams have been read that were sent until now. */
  async readAll(): Promise<void> {
    const mark = `mark ${crypto.randomUUID()}`;
    const read = new Promise<void>((resolve) => {
      this.#marks.set(mark, resolve);
    });
    const { port, address } = this.#socket.address();
    this.#socket.send(mark, port, address);
    await read;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** Returns a UDP port on which nothing listens, and that no other test gets. */
export const unusedUdpPort = (): Promise<number> => freePort();
