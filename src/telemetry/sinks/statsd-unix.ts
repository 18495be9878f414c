import { openUnixDatagram, type UnixDatagram, UnixDatagramError } from "../../libc/unix-datagram.ts";
import { DatagramError, type DatagramSocket } from "./statsd-socket.ts";

/** Throws a DatagramError. */
export function openUnix(path: string): DatagramSocket {
  return new UnixSocket(
    path,
    explained(path, () => openUnixDatagram(path)),
  );
}

class UnixSocket implements DatagramSocket {
  readonly #path: string;
  readonly #socket: UnixDatagram;

  constructor(path: string, socket: UnixDatagram) {
    this.#path = path;
    this.#socket = socket;
  }

  async send(datagram: Uint8Array): Promise<void> {
    explained(this.#path, () => this.#socket.send(datagram));
  }

  /** It was in the queue of its reader when `send` was over. */
  async confirm(): Promise<void> {}

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

function explained<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof UnixDatagramError ? new DatagramError(path, error.code) : error;
  }
}
