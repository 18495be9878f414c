type Start = () => Promise<void>;

/** Of its places, one key may have so many: a host that hangs must not delay the lists of the other keys. */
const SHARE_OF_ONE_KEY = 0.75;

interface KeyQueue {
  readonly waiting: Start[];
  running: number;
}

/** Runs a bounded number of downloads at once; keys that wait take turns. */
export class DownloadQueue<Key> {
  readonly #places: number;
  readonly #placesOfOneKey: number;
  /** In the order of their turns. */
  readonly #keys = new Map<Key, KeyQueue>();
  #running = 0;

  constructor(places: number) {
    this.#places = places;
    this.#placesOfOneKey = Math.max(1, Math.floor(places * SHARE_OF_ONE_KEY));
  }

  /** Settles as `work` does, which begins when it is the key's turn. */
  run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const queue = this.#keys.get(key) ?? { waiting: [], running: 0 };
    this.#keys.set(key, queue);
    queue.waiting.push(() => work().then(resolve, reject));
    this.#startNext();
    return promise;
  }

  #startNext(): void {
    for (const [key, queue] of this.#keys) {
      if (this.#running >= this.#places) return;
      const start = queue.running < this.#placesOfOneKey ? queue.waiting.shift() : undefined;
      if (start === undefined) continue;
      // It goes to the end of the turns; the loop comes by again.
      this.#keys.delete(key);
      this.#keys.set(key, queue);
      void this.#start(key, queue, start);
    }
  }

  async #start(key: Key, queue: KeyQueue, start: Start): Promise<void> {
    this.#running++;
    queue.running++;
    await start();
    this.#running--;
    queue.running--;
    if (queue.running === 0 && queue.waiting.length === 0) this.#keys.delete(key);
    this.#startNext();
  }
}
