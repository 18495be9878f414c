import { createSocket, type Socket } from "node:dgram";
import { freePort } from "../common/free-port.ts";

/** A StatsD agent on a UDP port of the loopback interface. */
export class UdpListener implements Disposable {
  readonly datagrams: string[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (message) => this.datagrams.push(message.toString()));
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

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** Returns a UDP port on which nothing listens, and that no other test gets. */
export const unusedUdpPort = (): Promise<number> => freePort();
