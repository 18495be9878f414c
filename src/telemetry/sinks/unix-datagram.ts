import { getSystemErrorName } from "node:util";
import { DatagramError, type DatagramSocket } from "./statsd-socket.ts";
import { type Libc, openLibc } from "./unix-datagram-libc.ts";

let loaded: Libc | undefined;

/**
 * Connects to the Unix datagram socket that has this path now: one that takes its place later is another. Through the
 * C library itself, since neither Bun nor Node has sockets of this kind. Throws a DatagramError.
 */
export function openUnixDatagram(path: string): DatagramSocket {
  loaded ??= openLibc(process.platform);
  const fd = loaded.socket();
  if (fd < 0) throw failure(loaded, path);
  if (loaded.connect(fd, loaded.addressOf(path)) === 0) return new UnixDatagramSocket(loaded, fd, path);
  const failed = failure(loaded, path);
  loaded.close(fd);
  throw failed;
}

class UnixDatagramSocket implements DatagramSocket {
  readonly #libc: Libc;
  readonly #path: string;
  #fd: number;

  constructor(libc: Libc, fd: number, path: string) {
    this.#libc = libc;
    this.#fd = fd;
    this.#path = path;
  }

  async send(datagram: Uint8Array): Promise<void> {
    if (this.#libc.send(this.#fd, datagram) < 0) throw failure(this.#libc, this.#path);
  }

  /** It was in the queue of its reader when `send` was over. */
  async confirm(): Promise<void> {}

  [Symbol.dispose](): void {
    // Another file may have the number from now on.
    if (this.#fd >= 0) this.#libc.close(this.#fd);
    this.#fd = -1;
  }
}

function failure(libc: Libc, path: string): DatagramError {
  return new DatagramError(path, getSystemErrorName(-libc.errno()));
}
