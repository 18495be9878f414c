import { GarbageLine, LineCheck, PART } from "./download.ts";
import type { DiskBudget, ListFile, ListStorage } from "./folder.ts";

const NAME_FORM = /^([0-9a-f]{64})-/;

/** Ms since the Unix epoch, as the name says; 0 where it doesn't. */
const madeAt = (name: string): number => Number.parseInt(name.split("-")[1] ?? "", 36) || 0;

const READ_BYTES = 64 * 1024;

/** Files that the relay had before it was restarted. If a manifest names one in time, it need not be fetched again. */
export class OrphanedFiles {
  readonly #folder: ListStorage;
  readonly #budget: DiskBudget;
  readonly #isListed: (digest: string) => boolean;
  /** By digest, the newest first. */
  readonly #names = new Map<string, string>();
  readonly #adopting = new Set<string>();

  /** `isListed` says whether a manifest names the file of a digest: such a file is not dropped. */
  constructor(folder: ListStorage, budget: DiskBudget, isListed: (digest: string) => boolean) {
    this.#folder = folder;
    this.#budget = budget;
    this.#isListed = isListed;
    // Of two of the same file the newest is the one that was served last.
    for (const name of [...folder.files()].sort((a, b) => madeAt(b) - madeAt(a) || (a < b ? 1 : -1))) {
      const [, digest] = NAME_FORM.exec(name) ?? [];
      if (digest === undefined || name.endsWith(PART) || this.#names.has(digest)) this.#delete(name);
      else this.#names.set(digest, name);
      budget.settle(name);
    }
  }

  get names(): readonly string[] {
    return [...this.#names.values(), ...this.#adopting];
  }

  /**
   * Gives the file what is left of it, read through again. What is no ID list is deleted. What can't be read just now
   * stays, for the next time: throws the error.
   */
  async adopt(file: ListFile): Promise<void> {
    const name = this.#names.get(file.digest);
    if (name === undefined) return;
    this.#names.delete(file.digest);
    this.#adopting.add(name);
    try {
      file.bytes = await this.#checked(name);
      file.name = name;
      file.isWhole = true;
    } catch (error) {
      if (error instanceof GarbageLine || (error as NodeJS.ErrnoException).code === "ENOENT") {
        this.#delete(name);
        return;
      }
      this.#names.set(file.digest, name);
      throw error;
    } finally {
      this.#adopting.delete(name);
      this.#budget.settle(name);
    }
  }

  /** Deletes what is left of a file that was fetched meanwhile. */
  supersede({ digest }: ListFile): void {
    const name = this.#names.get(digest);
    if (name === undefined) return;
    this.#names.delete(digest);
    this.#delete(name);
    this.#budget.settle(name);
  }

  /** Deletes what no manifest names, the oldest first, until so many bytes are free. */
  drop(bytes = Number.POSITIVE_INFINITY): void {
    let freed = 0;
    for (const [digest, name] of [...this.#names].reverse()) {
      if (freed >= bytes) return;
      if (this.#isListed(digest)) continue;
      const before = this.#budget.bytesOf(name);
      this.#names.delete(digest);
      this.#delete(name);
      this.#budget.settle(name);
      freed += before - this.#budget.bytesOf(name);
    }
  }

  /** Cuts the file after its last whole line, and returns its length. Throws GarbageLine, or why it can't be read. */
  async #checked(name: string): Promise<number> {
    await using handle = await this.#folder.open(name, "r+");
    const check = new LineCheck(0);
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (let at = 0; ; ) {
      const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, at);
      if (bytesRead === 0) break;
      check.see(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
    await handle.truncate(check.wholeLines);
    return check.wholeLines;
  }

  /** A file that can't be deleted now is by a later sweep of the folder: nothing refers to it any more. */
  #delete(name: string): void {
    try {
      this.#folder.delete(name);
    } catch {
      // It still counts.
    }
  }
}
