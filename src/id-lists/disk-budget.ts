/** There is no more room. */
export class DiskFull extends Error {}

/** How many bytes all files together may have. */
export class DiskBudget {
  readonly #maxBytes: number;
  #usedBytes = 0;
  readonly #makeRoom: () => void;

  /** `makeRoom` is asked to give back what can be spared, when the budget is used up. */
  constructor(maxBytes: number, makeRoom: () => void) {
    this.#maxBytes = maxBytes;
    this.#makeRoom = makeRoom;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Throws {@link DiskFull} where so many bytes could not be taken now. */
  check(bytes: number): void {
    if (this.#usedBytes + bytes > this.#maxBytes) this.#makeRoom();
    if (this.#usedBytes + bytes <= this.#maxBytes) return;
    throw new DiskFull(`the files of all ID lists together would be larger than ${this.#maxBytes} bytes`);
  }

  /** Throws {@link DiskFull}, and takes nothing. */
  take(bytes: number): void {
    this.check(bytes);
    this.#usedBytes += bytes;
  }

  /** What is there already counts, whatever the bound. */
  count(bytes: number): void {
    this.#usedBytes += bytes;
  }

  giveBack(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}
