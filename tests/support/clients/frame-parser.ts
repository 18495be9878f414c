import type { Frame } from "./http2-frames.ts";

const HEAD_BYTES = 9;

/** Splits the bytes of an HTTP/2 connection into frames as they arrive. Copies only frames that are split between two chunks. */
export class FrameParser {
  readonly #onFrame: (frame: Frame) => void;
  /** The beginning of a frame. */
  #rest = Buffer.alloc(0);

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (this.#rest.length > 0 && at < chunk.length) {
      const missing = missingBytes(this.#rest);
      const part = chunk.subarray(at, at + missing);
      this.#rest = Buffer.concat([this.#rest, part]);
      at += part.length;
      if (missingBytes(this.#rest) > 0) continue;
      const whole = this.#rest;
      this.#rest = Buffer.alloc(0);
      this.#onFrame(frameAt(whole, 0, whole.length));
    }
    while (at + HEAD_BYTES <= chunk.length) {
      const end = at + HEAD_BYTES + chunk.readUIntBE(at, 3);
      if (end > chunk.length) break;
      this.#onFrame(frameAt(chunk, at, end));
      at = end;
    }
    // A copy, so that the rest does not keep the whole chunk.
    if (at < chunk.length) this.#rest = Buffer.from(chunk.subarray(at));
  }
}

/** How many bytes the head lacks or, behind a whole head, the frame. */
function missingBytes(start: Buffer): number {
  if (start.length < HEAD_BYTES) return HEAD_BYTES - start.length;
  return HEAD_BYTES + start.readUIntBE(0, 3) - start.length;
}

function frameAt(bytes: Buffer, at: number, end: number): Frame {
  return {
    type: bytes.readUInt8(at + 3),
    flags: bytes.readUInt8(at + 4),
    streamId: bytes.readUInt32BE(at + 5),
    payload: bytes.subarray(at + HEAD_BYTES, end),
  };
}
