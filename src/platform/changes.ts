/** Remembers no more than that something has changed, for one that waits. */
export class Changes {
  #next = Promise.withResolvers<void>();

  wake(): void {
    this.#next.resolve();
  }

  /** Resolves at the first change since the last call. */
  async next(): Promise<void> {
    await this.#next.promise;
    this.#next = Promise.withResolvers();
  }
}
