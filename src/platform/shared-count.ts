/**
 * Allocates the memory of a count for `slots` threads, with all of them at 0. Pass it to each thread, which makes a
 * {@link SharedCount} of it with a slot of its own.
 */
export function allocateCount(slots: number): SharedArrayBuffer {
  return new SharedArrayBuffer((1 + slots) * Int32Array.BYTES_PER_ELEMENT);
}

/**
 * Takes back what a thread counted, and returns it. To be called once the thread has ended and its sockets are closed, before
 * the slot is used again.
 */
export function releaseSlot(memory: SharedArrayBuffer, slot: number): number {
  const cells = new Int32Array(memory);
  const held = Atomics.exchange(cells, cellOf(slot), 0);
  Atomics.sub(cells, TOTAL, held);
  return held;
}

/** The first cell holds the total, and each other one the part of a thread, so that it can be taken back. */
const TOTAL = 0;

const cellOf = (slot: number): number => 1 + slot;

/**
 * A count over all threads, up to 2^31 - 1. A limit on it is exact: it is never exceeded, and {@link tryAdd} never fails while
 * there is room.
 *
 * The total and the part of a thread change one after the other, the total first upwards and last downwards. A thread that is
 * terminated between the two, within some nanoseconds, leaves the total too high by that one change: the limit is then lower
 * by it until the process ends, and still never exceeded. A thread that hangs or throws does so elsewhere.
 */
export class SharedCount {
  readonly #cells: Int32Array<SharedArrayBuffer>;
  readonly #own: number;

  /**
   * Each thread needs its own `slot`, from 0; a RangeError is thrown for one that was not allocated. Without arguments the
   * count belongs to this thread alone.
   */
  constructor(memory = allocateCount(1), slot = 0) {
    this.#cells = new Int32Array(memory);
    this.#own = cellOf(slot);
    if (this.#own >= this.#cells.length)
      throw new RangeError(`no slot ${slot} (expected 0 to ${this.#cells.length - 2})`);
  }

  /** The total of all threads. */
  get value(): number {
    return Atomics.load(this.#cells, TOTAL);
  }

  /** Adds `n` unless the total would exceed `max`. Returns whether it was added. */
  tryAdd(n: number, max: number): boolean {
    for (let total = this.value; total + n <= max; ) {
      const before = Atomics.compareExchange(this.#cells, TOTAL, total, total + n);
      if (before === total) {
        Atomics.add(this.#cells, this.#own, n);
        return true;
      }
      total = before;
    }
    return false;
  }

  /** Takes back `n` of what this thread added. */
  subtract(n: number): void {
    Atomics.sub(this.#cells, this.#own, n);
    Atomics.sub(this.#cells, TOTAL, n);
  }
}
