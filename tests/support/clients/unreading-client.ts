import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { openCLibrary } from "#runtime/native.ts";
import { eventually } from "../common/wait.ts";

const AF_INET = 2;
const SOCK_STREAM = 1;
const MSG_DONTWAIT = 0x40;

/** Linux delays an acknowledgement by up to 40 ms. */
const ACKNOWLEDGED_AFTER_MS = 100;

/** More than the headers, which are written before the body. */
const SPARE_BYTES = 4_000;

/** How often in a row the buffers have to have a part of a response, 200 ms or more apart. */
const TIMES_PART = 3;

/** The buffers may be full at the end of a response. */
const FULL_WITHIN_MS = 7_000;

/** The only client of a port of this machine. It reads nothing at all: Bun's sockets read ahead. Needs Linux. */
export class UnreadingClient implements Disposable {
  readonly #libc = openCLibrary("libc.so.6", "__errno_location");
  readonly #fd: number;
  readonly #port: number;

  constructor(url: string) {
    this.#port = Number(new URL(url).port);
    this.#fd = this.#libc.socket(AF_INET, SOCK_STREAM, 0);
    const address = Buffer.alloc(16);
    address.writeUInt16LE(AF_INET, 0);
    address.writeUInt16BE(this.#port, 2);
    address.set([127, 0, 0, 1], 4);
    if (this.#libc.connect(this.#fd, address) !== 0) throw new Error("no connection");
  }

  /**
   * Sends requests one after the other, until the buffers of both ends of the connection do not take all of the last response. `bodyBytes`
   * is the size of the body of each response.
   */
  async requestUntilFull(path: string, bodyBytes: number): Promise<void> {
    const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n`);
    let responseBytes = bodyBytes;
    for (let sent = 1; ; sent++) {
      if (this.#libc.send(this.#fd, request, MSG_DONTWAIT) !== request.length)
        throw new Error("a request was not sent");
      const isTaken = await this.#hasTaken(sent, responseBytes);
      if (!isTaken) return;
      if (sent === 1) responseBytes = await this.#settledBytes();
    }
  }

  /**
   * Returns whether the buffers have taken all of the last response. If they have not, they have a part of it: of a response that the relay
   * has not sent yet, they have nothing.
   */
  async #hasTaken(sent: number, responseBytes: number): Promise<boolean> {
    const giveUpAtMs = performance.now() + FULL_WITHIN_MS;
    let timesPart = 0;
    while (timesPart < TIMES_PART && performance.now() < giveUpAtMs) {
      if (await this.#hasBuffered(sent * responseBytes)) return true;
      const hasPart = (await this.#settledBytes()) > (sent - 1) * responseBytes + SPARE_BYTES;
      timesPart = hasPart ? timesPart + 1 : 0;
    }
    return false;
  }

  #hasBuffered(bytes: number): Promise<boolean> {
    const has = () => {
      if (this.#bufferedBytes() < bytes) throw new Error("the buffers have not taken all of a response");
      return true;
    };
    return eventually(has, { withinMs: ACKNOWLEDGED_AFTER_MS, everyMs: 1 }).catch(() => false);
  }

  /** What is not acknowledged yet counts twice. */
  async #settledBytes(): Promise<number> {
    let [before, bytes] = [0, this.#bufferedBytes()];
    while (before !== bytes) {
      await sleep(ACKNOWLEDGED_AFTER_MS);
      [before, bytes] = [bytes, this.#bufferedBytes()];
    }
    return bytes;
  }

  /** Returns how many bytes on their way to the client the kernel holds. */
  #bufferedBytes(): number {
    const port = `:${this.#port.toString(16).toUpperCase().padStart(4, "0")}`;
    let sum = 0;
    for (const row of readFileSync("/proc/net/tcp", "latin1").split("\n")) {
      const [, local = "", remote = "", , queues = ""] = row.trim().split(/\s+/);
      const [sent = 0, received = 0] = queues.split(":").map((count) => Number.parseInt(count, 16));
      if (local.endsWith(port)) sum += sent;
      if (remote.endsWith(port)) sum += received;
    }
    return sum;
  }

  [Symbol.dispose](): void {
    this.#libc.close(this.#fd);
  }
}
