/** How many bytes of request bodies may be in memory at one time. */
export class BodyBudget {
  #left: number;

  constructor(maxBytes: number) {
    this.#left = maxBytes;
  }

  /** Undefined where there is no room; given back when it is disposed of. */
  reserve(bytes: number): Disposable | undefined {
    if (bytes > this.#left) return undefined;
    this.#left -= bytes;
    return {
      [Symbol.dispose]: () => {
        this.#left += bytes;
      },
    };
  }
}
