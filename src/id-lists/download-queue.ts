import { LRUCache } from "lru-cache";
import type { Clock } from "../platform/clock.ts";
import { RequestSlot } from "../specs/request-slots.ts";

/** Called whenever a download receives something. */
export type OnProgress = () => void;

type StartDownload = (slot: RequestSlot) => Promise<void>;

/** The part of the slots that one key may have: a host that hangs must not delay the lists of the other keys. */
const MAX_SHARE_OF_KEY = 0.75;

/** The limit of keys that are remembered as suspects: their last download was silent when it ended. */
const MAX_SUSPECTS = 20_000;

interface KeyQueue {
  readonly waiting: StartDownload[];
  open: number;
}

/**
 * Runs a limited number of downloads at a time; waiting keys take turns. A download that receives nothing for a second gives up
 * its slot and stays open; at most twice as many downloads as slots are open. A download of a suspect, which is a key whose last
 * download hung, takes no slot until it receives a byte, but there is a separate limit for these: hosts that hang for many keys
 * do not delay the others for long.
 */
export class DownloadQueue<Key extends string> {
  readonly #clock: Clock;
  readonly #slots: number;
  readonly #maxPerKey: number;
  /** In the order of their turns. */
  readonly #keys = new Map<Key, KeyQueue>();
  readonly #suspects = new LRUCache<Key, true>({ max: MAX_SUSPECTS });
  /** Downloads that make progress. */
  #live = 0;
  #open = 0;
  #openSuspects = 0;

  constructor(slots: number, clock: Clock) {
    this.#clock = clock;
    this.#slots = slots;
    this.#maxPerKey = Math.max(1, Math.floor(slots * MAX_SHARE_OF_KEY));
  }

  /** Starts `work` when it is the key's turn, and settles as it does. */
  run<T>(key: Key, work: (onProgress: OnProgress) => Promise<T>): Promise<T> {
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
      const mayStart = queue.open < this.#maxPerKey && this.#hasRoom(this.#suspects.has(key));
      const start = mayStart ? queue.waiting.shift() : undefined;
      if (start === undefined) continue;
      // Moves the key to the end of the map, where this loop reaches it again.
      this.#keys.delete(key);
      this.#keys.set(key, queue);
      void this.#start(key, queue, start);
    }
  }

  #hasRoom(isSuspect: boolean): boolean {
    if (this.#open >= 2 * this.#slots) return false;
    return isSuspect ? this.#openSuspects < this.#slots / 2 : this.#live < this.#slots;
  }

  async #start(key: Key, queue: KeyQueue, start: StartDownload): Promise<void> {
    this.#open++;
    queue.open++;
    using slot = this.#openSlot(key, queue);
    await start(slot);
  }

  #openSlot(key: Key, queue: KeyQueue): RequestSlot {
    const isSuspect = this.#suspects.has(key);
    if (isSuspect) this.#openSuspects++;
    let hasEnded = false;
    const setSuspect = (isSilent: boolean) => {
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
        setSuspect(live < 0);
        if (live < 0) this.#startNext();
      },
      ended: (wasSilent) => {
        hasEnded = true;
        setSuspect(wasSilent);
      },
      free: () => {
        this.#open--;
        if (isSuspect) this.#openSuspects--;
        queue.open--;
        if (queue.open === 0 && queue.waiting.length === 0) this.#keys.delete(key);
        this.#startNext();
      },
    });
  }
}
