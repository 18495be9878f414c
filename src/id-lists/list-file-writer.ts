import { type FileHandle, open } from "node:fs/promises";
import type { DiskBudget } from "./disk-budget.ts";
import { LineCheck } from "./line-check.ts";

const OWNER_ONLY = 0o600;

/** Brings bytes into a file behind those that are there, checked on the way. Readers of what was there see none of it. */
export class ListFileWriter {
  readonly #handle: FileHandle;
  readonly #budget: DiskBudget;
  readonly #check: LineCheck;
  readonly #from: number;
  #end: number;

  private constructor(handle: FileHandle, from: number, budget: DiskBudget) {
    this.#handle = handle;
    this.#budget = budget;
    this.#check = new LineCheck(from);
    this.#from = from;
    this.#end = from;
  }

  /** Makes the file where `from` is 0; throws where one is there already. */
  static async open(path: string, from: number, budget: DiskBudget): Promise<ListFileWriter> {
    const handle = await open(path, from === 0 ? "wx" : "r+", OWNER_ONLY);
    return new ListFileWriter(handle, from, budget);
  }

  /** Throws where the bytes are no ID list, or have no room; what came before stays. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#check.see(chunk);
    this.#budget.take(chunk.length);
    let written = 0;
    try {
      while (written < chunk.length) {
        const rest = chunk.subarray(written);
        written += (await this.#handle.write(rest, 0, rest.length, this.#end + written)).bytesWritten;
      }
    } finally {
      this.#budget.giveBack(chunk.length - written);
      this.#end += written;
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
      this.#budget.giveBack(this.#end - bytes);
      this.#end = bytes;
      return bytes;
    } finally {
      await this.#handle.close();
    }
  }
}
