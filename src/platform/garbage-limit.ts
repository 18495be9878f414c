import { collectGarbage } from "#runtime/threads.ts";

/** A few of the largest request bodies with log events. */
const MAX_GARBAGE_BYTES = 16_000_000;

/** Limits the memory of a Worker that turns small buffers into large ones faster than the runtime collects them. */
export class GarbageLimit {
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes = MAX_GARBAGE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Counts bytes that will become garbage, and collects the earlier ones when the limit is reached. */
  add(bytes: number): void {
    if (this.#bytes + bytes > this.#maxBytes) {
      collectGarbage();
      this.#bytes = 0;
    }
    this.#bytes += bytes;
  }
}
