const KIB = 1024;
const MIB = 1024 * KIB;

/** Beyond HTTP/2's default window, larger slices make Bun's `node:http2` stall for seconds. */
const LARGE_SLICE_BYTES = 64 * KIB;
/** Fits a DATA frame of the default size. */
const SLICE_BYTES = 16 * KIB;
const SMALL_SLICE_BYTES = 8 * KIB;

/** Above this the slices are no longer large, so that clients that do not read hold back little. */
const FEW_BYTES = 4 * MIB;
/** Above this, which takes thousands of clients, they are small. */
const MANY_BYTES = 32 * MIB;

/**
 * The bytes that the calls of a port have written on one thread, and that clients have not taken yet: `node:http2` holds them while the
 * flow-control window is full. Large slices cost half as much CPU as small ones, and most clients take them at once.
 */
export class HeldBytes {
  #bytes = 0;

  /** How much a call may write now, in bytes. */
  get sliceBytes(): number {
    if (this.#bytes < FEW_BYTES) return LARGE_SLICE_BYTES;
    return this.#bytes < MANY_BYTES ? SLICE_BYTES : SMALL_SLICE_BYTES;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  subtract(bytes: number): void {
    this.#bytes -= bytes;
  }
}
