const HEADER_BYTES = 5;

/** Counts the gRPC messages of a stream without keeping their bytes, unless it is asked to. */
export class FrameReader {
  readonly #keep: boolean;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #missing = 0;
  #kept: Uint8Array[] = [];
  messages = 0;
  /** The last whole message; empty where nothing is kept. */
  lastMessage: Uint8Array = new Uint8Array();

  constructor(keep: boolean) {
    this.#keep = keep;
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
    if (this.#headerBytes === HEADER_BYTES) this.#missing = new DataView(this.#header.buffer).getUint32(1);
    return part.length;
  }

  #readBody(chunk: Uint8Array, at: number): number {
    const bytes = Math.min(this.#missing, chunk.length - at);
    if (this.#keep) this.#kept.push(chunk.slice(at, at + bytes));
    this.#missing -= bytes;
    return bytes;
  }

  #end(): void {
    this.messages++;
    this.#headerBytes = 0;
    if (this.#keep) this.lastMessage = Buffer.concat(this.#kept);
    this.#kept = [];
  }
}
