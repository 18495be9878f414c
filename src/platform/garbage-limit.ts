import { fullGC } from "bun:jsc";

/** As much as a few of the largest bodies of events. */
const MAX_GARBAGE_BYTES = 16_000_000;

/**
 * Frees at once what nothing refers to. About 1 ms of a Worker, whose heap is small, and holds up no other thread. Unlike
 * `Bun.gc(true)` it keeps compiled code.
 */
export function collectGarbage(): void {
  fullGC();
}

/**
 * Keeps a Worker that turns small buffers into large ones from growing by all of those that the runtime has not yet come
 * to collect.
 */
export class GarbageLimit {
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes = MAX_GARBAGE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** So many bytes are about to become garbage. Collects what came before where that is enough. */
  add(bytes: number): void {
    if (this.#bytes + bytes > this.#maxBytes) {
      collectGarbage();
      this.#bytes = 0;
    }
    this.#bytes += bytes;
  }
}
