/** As much as a few of the largest bodies. */
const MAX_GARBAGE_BYTES = 16_000_000;

/**
 * Keeps a Worker that turns small buffers into large ones from growing by all of those that the runtime has not yet come
 * to collect. A collection takes about 3 ms of the Worker, whose heap is small, and holds up no other thread.
 */
export class GarbageLimit {
  #bytes = 0;

  /** So many bytes are about to become garbage. Collects what came before where that is enough. */
  add(bytes: number): void {
    if (this.#bytes + bytes > MAX_GARBAGE_BYTES) {
      Bun.gc(true);
      this.#bytes = 0;
    }
    this.#bytes += bytes;
  }
}
