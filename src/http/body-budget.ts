/** How many bytes of request bodies may be in memory at one time. */
export class BodyBudget {
  #left: number;

  constructor(maxBytes: number) {
    this.#left = maxBytes;
  }

  /** For one body; what it took is given back when it is disposed of. */
  open(): BodyShare {
    let taken = 0;
    return {
      take: (bytes) => {
        if (bytes > this.#left) return false;
        this.#left -= bytes;
        taken += bytes;
        return true;
      },
      [Symbol.dispose]: () => {
        this.#left += taken;
      },
    };
  }
}

export interface BodyShare extends Disposable {
  /** False, and nothing taken, where there is no room for so many bytes more. */
  take(bytes: number): boolean;
}
