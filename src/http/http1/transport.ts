import type { TLSSocket } from "node:tls";
import { clientAddressOf, socketProgress } from "../../platform/tcp-connection.ts";

/** The byte stream under an HTTP/1.1 connection: a plain socket or a TLS socket. */
export interface ByteTransport {
  /** Whether `write` copies the bytes it takes, so that the caller may overwrite them at once. */
  readonly copies: boolean;
  /** The IP address of the client; empty once the socket is closed. */
  readonly clientAddress: string;
  /** The port of the relay; 0 once the socket is closed. */
  readonly localPort: number;
  /** Returns how many bytes were taken. The rest must be written again when the transport has drained. */
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  /** Bytes written and not yet acknowledged by the client's machine; 0 if the system does not say. */
  unsentBytes(): number;
  /** Sends no more, and still receives. */
  shutdown(): void;
  /** Sends and receives no more. Bytes that the client has not read yet are still delivered. */
  close(): void;
  /** Cuts the connection. Bytes that the client has not received are lost. */
  destroy(): void;
}

/** TLS buffers everything it is given, so it is given one slice at a time. */
const TLS_SLICE_BYTES = 64 * 1024;

/** Wraps a TLS socket. It takes the next bytes once the previous ones are sent. */
export function tlsTransport(socket: TLSSocket): ByteTransport {
  return {
    copies: false,
    get clientAddress() {
      return clientAddressOf(socket);
    },
    get localPort() {
      return socket.localPort ?? 0;
    },
    write: (bytes) => {
      if (socket.writableNeedDrain || socket.writableEnded) return 0;
      const slice = bytes.subarray(0, TLS_SLICE_BYTES);
      socket.write(slice);
      return slice.length;
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    unsentBytes: () => socket.writableLength + (socketProgress(socket)?.queuedBytes ?? 0),
    shutdown: () => void socket.end(),
    close: () => void socket.destroy(),
    destroy: () => void socket.destroy(),
  };
}

/** Parts of up to this size together, such as a head and a body, are written with one system call. */
const MAX_JOINED_BYTES = 64 * 1024;

/** Shared by all connections: its content is written, or written again from its source, before the next use. */
const joined = Buffer.allocUnsafe(MAX_JOINED_BYTES);

interface PendingWrite {
  readonly parts: Uint8Array[];
  readonly written: PromiseWithResolvers<void>;
}

/** Writes to one connection as fast as it takes bytes. For a slow client it keeps references, and copies no body. */
export class ByteWriter {
  readonly #transport: ByteTransport;
  #pending: PendingWrite | undefined;

  constructor(transport: ByteTransport) {
    this.#transport = transport;
  }

  /**
   * Returns undefined if everything was taken at once. Otherwise the promise resolves when it was, and rejects when the
   * connection closes.
   */
  write(...parts: Uint8Array[]): Promise<void> | undefined {
    if (this.#pending !== undefined) {
      this.#pending.parts.push(...parts);
      return this.#pending.written.promise;
    }
    if (parts.length > 1) this.#writeJoined(parts);
    this.#writeParts(parts);
    if (parts.length === 0) return undefined;
    const written = Promise.withResolvers<void>();
    // A caller that does not await the write learns of the connection's end elsewhere.
    written.promise.catch(() => {});
    this.#pending = { parts, written };
    return written.promise;
  }

  /** To be called when the transport takes bytes again. */
  drained(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#writeParts(pending.parts);
    if (pending.parts.length > 0) return;
    this.#pending = undefined;
    pending.written.resolve();
  }

  closed(reason: Error): void {
    this.#pending?.written.reject(reason);
    this.#pending = undefined;
  }

  /** Writes small parts with one call. Removes from `parts` what was taken. */
  #writeJoined(parts: Uint8Array[]): void {
    let length = 0;
    for (const part of parts) length += part.length;
    if (!this.#transport.copies || length > MAX_JOINED_BYTES) return;
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    removeBytes(parts, Math.max(0, this.#transport.write(joined.subarray(0, length))));
  }

  /** Removes from `parts` what was taken. */
  #writeParts(parts: Uint8Array[]): void {
    for (let part = parts[0]; part !== undefined; part = parts[0]) {
      const taken = Math.max(0, this.#transport.write(part));
      if (taken === part.length) parts.shift();
      else parts[0] = part.subarray(taken);
      if (taken === 0 && part.length > 0) return;
    }
  }
}

/** Removes the first `count` bytes of all parts together. */
function removeBytes(parts: Uint8Array[], count: number): void {
  let rest = count;
  for (let part = parts[0]; part !== undefined && rest >= part.length; part = parts[0]) {
    rest -= part.length;
    parts.shift();
  }
  if (parts[0] !== undefined && rest > 0) parts[0] = parts[0].subarray(rest);
}
