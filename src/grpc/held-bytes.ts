const KIB = 1024;
const MIB = 1024 * KIB;

/** For clients whose windows take several at once. Of those that wait for a window, Bun's `node:http2` copies the rest again and again. */
const LARGE_SLICE_BYTES = 64 * KIB;
const LARGE_WINDOW_BYTES = 4 * LARGE_SLICE_BYTES;

/** Fits a DATA frame of the default size, and four of them HTTP/2's default window. */
const SLICE_BYTES = 16 * KIB;
const SMALL_SLICE_BYTES = 8 * KIB;

/** Above this no slices are large, so that clients that do not read hold back little. */
const FEW_BYTES = 4 * MIB;
/** Above this, which takes thousands of clients, they are small. */
const MANY_BYTES = 32 * MIB;

/**
 * The bytes that the calls of a port have written on one thread, and that clients have not taken yet: `node:http2` holds them while the
 * flow-control window is full. Small slices save memory then, large ones CPU.
 */
export class HeldBytes {
  #bytes = 0;

  /** Returns how much a call may write now to a client whose streams begin with a window of this size, both in bytes. */
  sliceBytes(windowBytes: number): number {
    if (this.#bytes < FEW_BYTES && windowBytes >= LARGE_WINDOW_BYTES) return LARGE_SLICE_BYTES;
    return this.#bytes < MANY_BYTES ? SLICE_BYTES : SMALL_SLICE_BYTES;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  subtract(bytes: number): void {
    this.#bytes -= bytes;
  }
}
