import { LRUCache } from "lru-cache";
import type { Clock } from "../platform/clock.ts";
import { RequestSlot } from "../specs/request-slots.ts";

/** Called when anything comes of a download. */
export type Progressed = () => void;

type Start = (slot: RequestSlot) => Promise<void>;

/** Of the places, one key may have so many: a host that hangs must not delay the lists of the other keys. */
const SHARE_OF_ONE_KEY = 0.75;

/** Keys of which it is remembered that their last download was silent to its end. */
const MAX_SUSPECTS = 20_000;

interface KeyQueue {
  readonly waiting: Start[];
  open: number;
}

/**
 * Runs a bounded number of downloads at once; keys that wait take turns. A download without a byte for a second gives
 * up its place, and stays open; open ones are twice as many as places at most. A key whose last download hung takes no
 * place, but is one of a few more, until a byte comes: hosts that hang for many keys delay no other for long.
 */
export class DownloadQueue<Key extends string> {
  readonly #clock: Clock;
  readonly #places: number;
  readonly #placesOfOneKey: number;
  /** In the order of their turns. */
  readonly #keys = new Map<Key, KeyQueue>();
  readonly #suspects = new LRUCache<Key, true>({ max: MAX_SUSPECTS });
  /** Downloads that make progress. */
  #live = 0;
  #open = 0;
  #openOfSuspects = 0;

  constructor(places: number, clock: Clock) {
    this.#clock = clock;
    this.#places = places;
    this.#placesOfOneKey = Math.max(1, Math.floor(places * SHARE_OF_ONE_KEY));
  }

  /** Settles as `work` does, which begins when it is the key's turn. */
  run<T>(key: Key, work: (progressed: Progressed) => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const queue = this.#keys.get(key) ?? { waiting: [], open: 0 };
    this.#keys.set(key, queue);
    queue.waiting.push((slot) => slot.watch(work).then(resolve, reject));
    this.#startNext();
    return promise;
  }

  #startNext(): void {
    for (const [key, queue] of this.#keys) {
      if (!this.#hasRoom(false) && !this.#hasRoom(true)) return;
      const mayStart = queue.open < this.#placesOfOneKey && this.#hasRoom(this.#suspects.has(key));
      const start = mayStart ? queue.waiting.shift() : undefined;
      if (start === undefined) continue;
      // It goes to the end of the turns; the loop comes by again.
      this.#keys.delete(key);
      this.#keys.set(key, queue);
      void this.#start(key, queue, start);
    }
  }

  #hasRoom(isSuspect: boolean): boolean {
    if (this.#open >= 2 * this.#places) return false;
    return isSuspect ? this.#openOfSuspects < this.#places / 2 : this.#live < this.#places;
  }

  async #start(key: Key, queue: KeyQueue, start: Start): Promise<void> {
    this.#open++;
    queue.open++;
    using slot = this.#slot(key, queue);
    await start(slot);
  }

  #slot(key: Key, queue: KeyQueue): RequestSlot {
    const isSuspect = this.#suspects.has(key);
    if (isSuspect) this.#openOfSuspects++;
    let hasEnded = false;
    const suspect = (isSilent: boolean) => {
      if (isSilent) this.#suspects.set(key, true);
      else this.#suspects.delete(key);
    };
    return new RequestSlot({
      clock: this.#clock,
      waitedMs: 0,
      isSuspect,
      count: (live) => {
        this.#live += live;
        if (hasEnded) return;
        suspect(live < 0);
        if (live < 0) this.#startNext();
      },
      ended: (wasSilent) => {
        hasEnded = true;
        suspect(wasSilent);
      },
      free: () => {
        this.#open--;
        if (isSuspect) this.#openOfSuspects--;
        queue.open--;
        if (queue.open === 0 && queue.waiting.length === 0) this.#keys.delete(key);
        this.#startNext();
      },
    });
  }
}
