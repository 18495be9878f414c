/** Health answers NOT_SERVING above this percentage of open streams (docs/protocol.md, Health and reflection). */
const READY_THRESHOLD_PERCENT = 90;

/** Counts open streams and limits them. */
export class StreamLimit {
  #maxStreams: number;
  #open = 0;

  constructor(maxStreams: number) {
    this.#maxStreams = maxStreams;
  }

  get maxStreams(): number {
    return this.#maxStreams;
  }

  /** Changes the limit. Streams already open above it are not closed. */
  setMax(maxStreams: number): void {
    this.#maxStreams = maxStreams;
  }

  get open(): number {
    return this.#open;
  }

  /** Whether clients should open new streams here rather than at another replica. */
  get hasRoom(): boolean {
    return (this.#open * 100) / this.#maxStreams <= READY_THRESHOLD_PERCENT;
  }

  /**
   * Returns undefined if the limit is reached. Call the returned function when the stream closes; calling it twice is
   * harmless.
   */
  enter(): (() => void) | undefined {
    if (this.#open >= this.#maxStreams) return undefined;
    this.#open++;
    let isClosed = false;
    return () => {
      if (!isClosed) this.#open--;
      isClosed = true;
    };
  }
}
