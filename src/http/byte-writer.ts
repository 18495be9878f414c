/** A connection, of whatever kind, as far as bytes are written to it and its reading is stopped and resumed. */
export interface ByteTransport {
  /** Whether bytes that it took may be overwritten at once. */
  readonly copies: boolean;
  /** How many bytes were taken, perhaps fewer than given: the rest is to be written when it has drained. */
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  /** Written and not acknowledged by the client's machine; 0 where the system does not say. */
  unsentBytes(): number;
  /** Sends no more; what the client sends is still received. */
  shutdown(): void;
  /** Receives no more either; a client that is slow to read has nothing taken from it. */
  close(): void;
  /** Cuts the connection: what the client has not received is lost. */
  destroy(): void;
}

/** Head and body up to this size together are written by one system call. */
const MAX_JOINED_BYTES = 64 * 1024;

/** Of all connections: what is in it has been written, or is written again from where it came, before the next use. */
const joined = Buffer.allocUnsafe(MAX_JOINED_BYTES);

interface Waiting {
  readonly parts: Uint8Array[];
  readonly written: PromiseWithResolvers<void>;
}

/** Writes to one connection as fast as it takes bytes. Nothing is copied for a slow client but a rest of a head. */
export class ByteWriter {
  readonly #transport: ByteTransport;
  #waiting: Waiting | undefined;

  constructor(transport: ByteTransport) {
    this.#transport = transport;
  }

  /** Undefined where all was taken at once; else it resolves when it was, and rejects when the connection closes. */
  write(head: Uint8Array, body?: Uint8Array): Promise<void> | undefined {
    if (this.#waiting !== undefined) {
      this.#waiting.parts.push(head, ...(body === undefined ? [] : [body]));
      return this.#waiting.written.promise;
    }
    const parts = body === undefined ? [head] : this.#writeJoined(head, body);
    this.#writeParts(parts);
    if (parts.length === 0) return undefined;
    const written = Promise.withResolvers<void>();
    // A writer that does not wait for it learns of the connection's end elsewhere.
    written.promise.catch(() => {});
    this.#waiting = { parts, written };
    return written.promise;
  }

  /** The connection takes bytes again. */
  drained(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#writeParts(waiting.parts);
    if (waiting.parts.length > 0) return;
    this.#waiting = undefined;
    waiting.written.resolve();
  }

  closed(reason: Error): void {
    this.#waiting?.written.reject(reason);
    this.#waiting = undefined;
  }

  /** Returns what is left to be written. */
  #writeJoined(head: Uint8Array, body: Uint8Array): Uint8Array[] {
    const length = head.length + body.length;
    if (!this.#transport.copies || length > MAX_JOINED_BYTES) return [head, body];
    joined.set(head);
    joined.set(body, head.length);
    const taken = Math.max(0, this.#transport.write(joined.subarray(0, length)));
    if (taken === length) return [];
    return taken < head.length ? [head.subarray(taken), body] : [body.subarray(taken - head.length)];
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
