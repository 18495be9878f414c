import type { ListStorage } from "./list-folder.ts";

/** There is no more room. */
export class DiskFull extends Error {}

/**
 * Bounds the bytes of all files together. Each file counts as long as the disk says it is: a writer claims room before
 * it writes, and whoever wrote, cut or deleted a file settles it, whether or not that worked.
 */
export class DiskBudget {
  readonly #maxBytes: number;
  readonly #storage: Pick<ListStorage, "bytesOf">;
  readonly #freeUnused: (bytes: number) => void;
  readonly #bytes = new Map<string, number>();
  #usedBytes = 0;
  /** Of some file the disk didn't say how long it is: its last count stands. */
  isUncertain = false;

  /** `freeUnused` deletes files that can be spared, as many bytes as lack; it is called when the budget is used up. */
  constructor(maxBytes: number, storage: Pick<ListStorage, "bytesOf">, freeUnused: (bytes: number) => void) {
    this.#maxBytes = maxBytes;
    this.#storage = storage;
    this.#freeUnused = freeUnused;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Names of the files that count. */
  get names(): readonly string[] {
    return [...this.#bytes.keys()];
  }

  /** Throws {@link DiskFull} if `bytes` more do not fit. */
  check(bytes: number): void {
    const lacking = this.#usedBytes + bytes - this.#maxBytes;
    // What would not fit into an empty folder must not cost others their files.
    if (lacking > 0 && bytes <= this.#maxBytes) this.#freeUnused(lacking);
    if (this.#usedBytes + bytes <= this.#maxBytes) return;
    throw new DiskFull(
      `the files of all ID lists together would be larger than ${this.#maxBytes} bytes (--id-lists-max-in-mb)`,
    );
  }

  /** How much a file counts. */
  bytesOf(name: string): number {
    return this.#bytes.get(name) ?? 0;
  }

  /** Before bytes are written to a file. Throws {@link DiskFull}, and claims nothing. */
  claim(name: string, bytes: number): void {
    this.check(bytes);
    this.#set(name, (this.#bytes.get(name) ?? 0) + bytes);
  }

  /** Counts a file by its size on disk. */
  settle(name: string): void {
    try {
      this.#set(name, this.#storage.bytesOf(name) ?? 0);
    } catch {
      this.isUncertain = true;
    }
  }

  #set(name: string, bytes: number): void {
    this.#usedBytes += bytes - (this.#bytes.get(name) ?? 0);
    if (bytes > 0) this.#bytes.set(name, bytes);
    else this.#bytes.delete(name);
  }
}
