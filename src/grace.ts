import type { Clock } from "./clock.ts";

/** The time that everything together may take to end well. */
export class Grace implements Disposable {
  readonly #over = new AbortController();
  readonly #ended = new AbortController();

  constructor(ms: number, clock: Clock) {
    clock.sleep(ms, this.#ended.signal).then(
      () => this.#over.abort(),
      () => {},
    );
  }

  /** Aborted when the time is up. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }
}
