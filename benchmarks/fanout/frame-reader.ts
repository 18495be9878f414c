const HEADER_BYTES = 5;

/** A frame with `{"has_updates":false}` and its version is smaller, a frame with specs is larger. */
const HEARTBEAT_BYTES = 64;

/**
 * Counts the messages on a gRPC stream of at least `minBytes`: by default those with specs. Keeps the bytes of the last one if `keep`
 * is set.
 */
export class FrameReader {
  readonly #keep: boolean;
  readonly #minBytes: number;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #length = 0;
  #missing = 0;
  #kept: Uint8Array[] = [];
  messages = 0;
  /** The last message; empty if none is kept. */
  lastMessage: Uint8Array = new Uint8Array();

  constructor(keep: boolean, minBytes = HEARTBEAT_BYTES) {
    this.#keep = keep;
    this.#minBytes = minBytes;
  }

  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      at += this.#headerBytes < HEADER_BYTES ? this.#readHeader(chunk, at) : this.#readBody(chunk, at);
      if (this.#headerBytes === HEADER_BYTES && this.#missing === 0) this.#end();
    }
  }

  #readHeader(chunk: Uint8Array, at: number): number {
    const part = chunk.subarray(at, at + HEADER_BYTES - this.#headerBytes);
    this.#header.set(part, this.#headerBytes);
    this.#headerBytes += part.length;
    if (this.#headerBytes === HEADER_BYTES) {
      this.#length = new DataView(this.#header.buffer).getUint32(1);
      this.#missing = this.#length;
    }
    return part.length;
  }

  #readBody(chunk: Uint8Array, at: number): number {
    const bytes = Math.min(this.#missing, chunk.length - at);
    if (this.#keep) this.#kept.push(chunk.slice(at, at + bytes));
    this.#missing -= bytes;
    return bytes;
  }

  #end(): void {
    this.#headerBytes = 0;
    const kept = this.#kept;
    this.#kept = [];
    if (this.#length < this.#minBytes) return;
    this.messages++;
    if (this.#keep) this.lastMessage = Buffer.concat(kept);
  }
}
