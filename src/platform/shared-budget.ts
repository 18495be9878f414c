import type { SharedCount } from "./shared-count.ts";

interface SharedBudgetOptions {
  /** The limit of all threads together. */
  readonly max: number;
  /** The number of threads that share it. */
  readonly threads: number;
  /** Counts what threads use beyond their own parts. */
  readonly common: SharedCount;
}

/**
 * A limit over all threads for things that are evicted when it is reached, as one thread sees it. A thread can evict only what
 * it holds itself. Half of the limit is therefore divided evenly among the threads, and the other half is for whichever needs
 * it: clients of one thread that use up all they can get leave the others their part. Threads together never exceed the limit,
 * and a thread alone has all of it.
 */
export class SharedBudget {
  readonly #own: number;
  readonly #commonMax: number;
  readonly #common: SharedCount;
  #used = 0;

  constructor({ max, threads, common }: SharedBudgetOptions) {
    this.#own = Math.floor(max / 2 / threads);
    this.#commonMax = max - this.#own * threads;
    this.#common = common;
  }

  /** Returns whether `n` was available, and is now taken by this thread. */
  tryTake(n: number): boolean {
    const beyond = this.#beyondOwn(this.#used + n) - this.#beyondOwn(this.#used);
    if (beyond > 0 && !this.#common.tryAdd(beyond, this.#commonMax)) return false;
    this.#used += n;
    return true;
  }

  /** Returns `n` of what this thread has taken. */
  giveBack(n: number): void {
    const beyond = this.#beyondOwn(this.#used) - this.#beyondOwn(this.#used - n);
    this.#used -= n;
    if (beyond > 0) this.#common.subtract(beyond);
  }

  #beyondOwn(used: number): number {
    return Math.max(0, used - this.#own);
  }
}
