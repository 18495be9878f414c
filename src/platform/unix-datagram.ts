import { getSystemErrorName } from "node:util";
import { type Libc, openLibc } from "./libc.ts";

/** A connection to a Unix datagram socket. */
export interface UnixDatagram extends Disposable {
  /** What was sent is in the queue of its reader. Throws a UnixDatagramError; that the queue is full is one. */
  send(datagram: Uint8Array): void;
}

/** `code` is the system's word, such as ECONNREFUSED. */
export class UnixDatagramError extends Error {
  readonly code: string;

  constructor(path: string, code: string) {
    super(`${path}: ${code}`);
    this.code = code;
  }
}

let loaded: Libc | undefined;

/**
 * Connects to the Unix datagram socket that has this path now: one that takes its place later is another. On Linux
 * `@name` is one without a file. Through the C library itself, since neither Bun nor Node has sockets of this kind.
 * Throws a UnixDatagramError.
 */
export function openUnixDatagram(path: string): UnixDatagram {
  loaded ??= openLibc(process.platform);
  const fd = loaded.socket();
  if (fd < 0) throw failure(loaded, path);
  if (loaded.connect(fd, loaded.addressOf(path)) === 0) return new Connected(loaded, fd, path);
  const failed = failure(loaded, path);
  loaded.close(fd);
  throw failed;
}

class Connected implements UnixDatagram {
  readonly #libc: Libc;
  readonly #path: string;
  #fd: number;

  constructor(libc: Libc, fd: number, path: string) {
    this.#libc = libc;
    this.#fd = fd;
    this.#path = path;
  }

  send(datagram: Uint8Array): void {
    if (this.#libc.send(this.#fd, datagram) < 0) throw failure(this.#libc, this.#path);
  }

  [Symbol.dispose](): void {
    // Another file may have the number from now on.
    if (this.#fd >= 0) this.#libc.close(this.#fd);
    this.#fd = -1;
  }
}

function failure(libc: Libc, path: string): UnixDatagramError {
  return new UnixDatagramError(path, getSystemErrorName(-libc.errno()));
}
