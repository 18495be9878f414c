import type { EmitLimitEvent } from "./events.ts";

/** Counts requests that are being worked on, of all ports together, and bounds them. */
export class InFlight {
  #max: number;
  readonly #emit: EmitLimitEvent;
  #count = 0;

  constructor(max: number, emit: EmitLimitEvent) {
    this.#max = max;
    this.#emit = emit;
  }

  get count(): number {
    return this.#count;
  }

  /** From now on so many. Those beyond go on. */
  limitTo(max: number): void {
    this.#max = max;
  }

  /** Undefined where there are as many as there may be. To be disposed of when the request is answered. */
  enter(): Disposable | undefined {
    if (this.#count >= this.#max) {
      this.#emit({ kind: "limit_reached", limit: "max-in-flight" });
      return undefined;
    }
    this.#count++;
    return {
      [Symbol.dispose]: () => {
        this.#count--;
      },
    };
  }
}
