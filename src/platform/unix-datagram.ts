import { getSystemErrorName } from "node:util";
import { type Libc, openLibc } from "./libc.ts";

/** A connection to a Unix datagram socket. */
export interface UnixDatagram extends Disposable {
  /** Puts the datagram into the queue of the receiver. Throws a UnixDatagramError, also if the queue is full. */
  send(datagram: Uint8Array): void;
}

/** `code` is a system error such as ECONNREFUSED. */
export class UnixDatagramError extends Error {
  readonly code: string;

  constructor(path: string, code: string) {
    super(`${path}: ${code}`);
    this.code = code;
  }
}

let loaded: Libc | undefined;

/**
 * Connects to the Unix datagram socket at this path; a socket that replaces it later is not followed. On Linux `@name` is an
 * abstract socket. Uses the C library, because neither Bun nor Node supports datagram sockets of this kind. Throws a
 * UnixDatagramError.
 */
export function openUnixDatagram(path: string): UnixDatagram {
  loaded ??= openLibc(process.platform);
  const fd = loaded.socket();
  if (fd < 0) throw lastError(loaded, path);
  if (loaded.connect(fd, loaded.addressOf(path)) === 0) return new Connected(loaded, fd, path);
  const failed = lastError(loaded, path);
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
    if (this.#libc.send(this.#fd, datagram) < 0) throw lastError(this.#libc, this.#path);
  }

  [Symbol.dispose](): void {
    // The descriptor's number may be reused from here on.
    if (this.#fd >= 0) this.#libc.close(this.#fd);
    this.#fd = -1;
  }
}

function lastError(libc: Libc, path: string): UnixDatagramError {
  return new UnixDatagramError(path, getSystemErrorName(-libc.errno()));
}
