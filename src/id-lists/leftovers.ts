import { createReadStream } from "node:fs";
import { truncate } from "node:fs/promises";
import type { DiskBudget } from "./disk-budget.ts";
import { LineCheck } from "./line-check.ts";
import { PART } from "./list-download.ts";
import type { ListFile } from "./list-file.ts";
import type { ListFolder } from "./list-folder.ts";

const NAME_FORM = /^([0-9a-f]{64})-/;

/** Files that the relay had before it was started anew. Who asks for one in time need not fetch it again. */
export class Leftovers {
  readonly #folder: ListFolder;
  readonly #budget: DiskBudget;
  readonly #names = new Map<string, string>();

  constructor(folder: ListFolder, budget: DiskBudget) {
    this.#folder = folder;
    this.#budget = budget;
    // Of two of the same file the newest is the one that was served last.
    for (const name of [...folder.files()].sort().reverse()) {
      const [, digest] = NAME_FORM.exec(name) ?? [];
      if (digest === undefined || name.endsWith(PART) || this.#names.has(digest)) {
        folder.delete(name);
        continue;
      }
      this.#names.set(digest, name);
      budget.count(folder.bytesOf(name) ?? 0);
    }
  }

  /** Gives the file what is left of it, looked through again. Throws where it can't be read. */
  async adopt(file: ListFile): Promise<void> {
    const name = this.#names.get(file.digest);
    if (name === undefined) return;
    this.#names.delete(file.digest);
    const path = this.#folder.pathOf(name);
    const bytesBefore = this.#folder.bytesOf(name) ?? 0;
    const check = new LineCheck(0);
    try {
      for await (const chunk of createReadStream(path)) check.see(chunk as Uint8Array);
      await truncate(path, check.wholeLines);
    } catch {
      this.#folder.delete(name);
      this.#budget.giveBack(bytesBefore);
      return;
    }
    this.#budget.giveBack(bytesBefore - check.wholeLines);
    file.name = name;
    file.bytes = check.wholeLines;
    file.isWhole = true;
  }

  /** Deletes what nobody asked for. */
  drop(): void {
    for (const name of this.#names.values()) {
      this.#budget.giveBack(this.#folder.bytesOf(name) ?? 0);
      this.#folder.delete(name);
    }
    this.#names.clear();
  }
}
