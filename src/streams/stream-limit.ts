import type { SharedCount } from "../platform/shared-count.ts";

/** Counts the open streams of all ports and threads together, and limits them. */
export class StreamLimit {
  readonly #readyPercent: number;
  readonly #open: SharedCount;
  #maxStreams: number;

  /** `readyPercent` is the percentage of streams above which health answers NOT_SERVING (docs/protocol.md, Health and reflection). */
  constructor(maxStreams: number, readyPercent: number, open: SharedCount) {
    this.#maxStreams = maxStreams;
    this.#readyPercent = readyPercent;
    this.#open = open;
  }

  get maxStreams(): number {
    return this.#maxStreams;
  }

  /** Changes the limit. Streams already open above it are not closed. */
  setMax(maxStreams: number): void {
    this.#maxStreams = maxStreams;
  }

  get open(): number {
    return this.#open.value;
  }

  /** Whether clients should open new streams here rather than at another replica. */
  get hasRoom(): boolean {
    // Without room for any stream this is NaN, which is no percentage.
    return Math.floor((this.open * 100) / this.#maxStreams) <= this.#readyPercent;
  }

  /**
   * Returns undefined if the limit is reached. Call the returned function when the stream closes; calling it twice is
   * harmless.
   */
  enter(): (() => void) | undefined {
    if (!this.#open.tryAdd(1, this.#maxStreams)) return undefined;
    let isClosed = false;
    return () => {
      if (!isClosed) this.#open.subtract(1);
      isClosed = true;
    };
  }
}
