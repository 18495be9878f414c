/** Open streams in percent of the most allowed, above which health answers NOT_SERVING (WIRE 3). */
const READY_THRESHOLD_PERCENT = 90;

/** Counts open streams and bounds them. */
export class StreamLimit {
  #maxStreams: number;
  #open = 0;

  constructor(maxStreams: number) {
    this.#maxStreams = maxStreams;
  }

  get maxStreams(): number {
    return this.#maxStreams;
  }

  /** From now on so many. Those beyond go on. */
  limitTo(maxStreams: number): void {
    this.#maxStreams = maxStreams;
  }

  get open(): number {
    return this.#open;
  }

  /** Whether new streams should still be sent here, rather than to another replica. */
  get hasRoom(): boolean {
    return (this.#open * 100) / this.#maxStreams <= READY_THRESHOLD_PERCENT;
  }

  /** Undefined where there are as many as there may be. Call what is returned at the end; twice does no harm. */
  enter(): (() => void) | undefined {
    if (this.#open >= this.#maxStreams) return undefined;
    this.#open++;
    let left = false;
    return () => {
      if (!left) this.#open--;
      left = true;
    };
  }
}
