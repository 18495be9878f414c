import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** Connections that request a large body and never read it. */
export class StalledReaders implements Disposable {
  readonly #sockets: Socket[] = [];

  /** Resolves when all requests are sent and the server has had time to respond. */
  static async open(url: string, path: string, readers: number, settleMs: number): Promise<StalledReaders> {
    const stalled = new StalledReaders();
    const { hostname, port } = new URL(url);
    const request = `GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nAccept-Encoding: gzip\r\n\r\n`;
    for (let each = 0; each < readers; each++) {
      const socket = connect({ host: hostname, port: Number(port) });
      stalled.#sockets.push(socket);
      await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
      socket.pause();
      socket.write(request);
    }
    await sleep(settleMs);
    return stalled;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
