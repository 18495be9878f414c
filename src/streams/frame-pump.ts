/** Something that writes in small steps. */
export interface Writing {
  /** Writes one slice. Announces itself to the pump again when there is more to write. */
  writeSlice(): void;
}

/** How long the pump writes before it lets the event loop do other things, in ms. */
const TURN_MS = 10;

/** Slices between two looks at the clock. */
const SLICES_PER_LOOK = 16;

/**
 * Writes to many clients in turn, a slice each. An update for thousands of streams would otherwise block the event loop until all of it
 * has been written.
 */
export class FramePump {
  /** Those whose turn it is, from `#at`; those that come after them. */
  #current: Writing[] = [];
  #at = 0;
  #next: Writing[] = [];
  #isScheduled = false;
  readonly #runSoon = () => setImmediate(this.#run);

  /** Has `writing` write its next slice soon. Must not be called again before that. */
  add(writing: Writing): void {
    this.#next.push(writing);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#runSoon();
  }

  readonly #run = (): void => {
    const endAt = performance.now() + TURN_MS;
    do {
      for (let slices = 0; slices < SLICES_PER_LOOK; slices++) this.#takeFirst()?.writeSlice();
    } while (this.#hasMore && performance.now() < endAt);
    this.#isScheduled = this.#hasMore;
    if (this.#isScheduled) this.#runSoon();
  };

  get #hasMore(): boolean {
    return this.#at < this.#current.length || this.#next.length > 0;
  }

  #takeFirst(): Writing | undefined {
    if (this.#at >= this.#current.length) {
      this.#current = this.#next;
      this.#next = [];
      this.#at = 0;
    }
    return this.#current[this.#at++];
  }
}
