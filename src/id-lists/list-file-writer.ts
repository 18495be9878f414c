import type { FileHandle } from "node:fs/promises";
import type { DiskBudget } from "./disk-budget.ts";
import { LineCheck } from "./line-check.ts";
import type { ListStorage } from "./list-folder.ts";

export interface WriterParts {
  readonly folder: Pick<ListStorage, "open">;
  readonly budget: DiskBudget;
}

/** Brings bytes into a file behind those that are there, checked on the way. Readers of what was there see none of it. */
export class ListFileWriter {
  readonly #handle: FileHandle;
  readonly #name: string;
  readonly #budget: DiskBudget;
  readonly #check: LineCheck;
  readonly #from: number;
  #end: number;

  private constructor(handle: FileHandle, name: string, from: number, budget: DiskBudget) {
    this.#handle = handle;
    this.#name = name;
    this.#budget = budget;
    this.#check = new LineCheck(from);
    this.#from = from;
    this.#end = from;
  }

  /** Makes the file if `from` is 0, and throws if one is there already. */
  static async open(name: string, from: number, { folder, budget }: WriterParts): Promise<ListFileWriter> {
    const handle = await folder.open(name, from === 0 ? "wx" : "r+");
    return new ListFileWriter(handle, name, from, budget);
  }

  /** Throws if the bytes are no ID list, or have no room; what came before stays. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#check.see(chunk);
    this.#budget.claim(this.#name, chunk.length);
    for (let written = 0; written < chunk.length; ) {
      const rest = chunk.subarray(written);
      const { bytesWritten } = await this.#handle.write(rest, 0, rest.length, this.#end);
      written += bytesWritten;
      this.#end += bytesWritten;
    }
  }

  /** The file ends with the last whole line; on the disk, too, once this resolves with its length. */
  async keep(): Promise<number> {
    return this.#closeAt(Math.min(this.#check.wholeLines, this.#end));
  }

  /** The file ends where it did before. */
  async undo(): Promise<void> {
    await this.#closeAt(this.#from);
  }

  async #closeAt(bytes: number): Promise<number> {
    try {
      await this.#handle.truncate(bytes);
      await this.#handle.datasync();
      return bytes;
    } finally {
      try {
        await this.#handle.close();
      } finally {
        this.#budget.settle(this.#name);
      }
    }
  }
}
