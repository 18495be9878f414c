import { within } from "../common/wait.ts";

/** One envelope of gRPC, gRPC-Web or a Connect stream. */
export interface RpcFrame {
  /** 1: compressed; 2: the end of a Connect stream; 0x80: the trailers of gRPC-Web. */
  readonly flags: number;
  readonly data: Buffer;
}

const HEADER_BYTES = 5;

export function rpcFrame(data: Uint8Array | string, flags = 0): Buffer {
  const bytes = Buffer.from(data);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(flags, 0);
  header.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([header, bytes]);
}

/** Collects bytes as they arrive and returns frames. */
export class FrameQueue {
  #bytes = Buffer.alloc(0);
  #ended = false;
  #arrival = Promise.withResolvers<void>();

  push(chunk: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Resolves with undefined at the end. Rejects if no frame arrives in time. */
  async next(timeoutMs = 15_000): Promise<RpcFrame | undefined> {
    for (;;) {
      const frame = this.#take();
      if (frame !== undefined || this.#ended) return frame;
      await within(this.#arrival.promise, timeoutMs, "next frame");
    }
  }

  #take(): RpcFrame | undefined {
    if (this.#bytes.byteLength < HEADER_BYTES) return undefined;
    const end = HEADER_BYTES + this.#bytes.readUInt32BE(1);
    if (this.#bytes.byteLength < end) return undefined;
    const frame = { flags: this.#bytes.readUInt8(0), data: this.#bytes.subarray(HEADER_BYTES, end) };
    this.#bytes = this.#bytes.subarray(end);
    return frame;
  }

  #wake(): void {
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers();
  }
}

export async function allFrames(queue: FrameQueue): Promise<RpcFrame[]> {
  const frames: RpcFrame[] = [];
  for (let frame = await queue.next(); frame !== undefined; frame = await queue.next()) frames.push(frame);
  return frames;
}
