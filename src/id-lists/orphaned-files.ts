import { InvalidLine, LineCheck, PART } from "./download.ts";
import type { DiskBudget, ListFile, ListStorage } from "./folder.ts";

const NAME_PATTERN = /^([0-9a-f]{64})-/;

/** Returns when a file was created (ms since the Unix epoch), which its name contains; 0 if it does not. */
const parseCreatedAt = (name: string): number => Number.parseInt(name.split("-")[1] ?? "", 36) || 0;

const READ_BYTES = 64 * 1024;

/** Files from before a restart. If a manifest names one of them in time, it need not be downloaded again. */
export class OrphanedFiles {
  readonly #folder: ListStorage;
  readonly #budget: DiskBudget;
  readonly #isListed: (digest: string) => boolean;
  /** File names by digest, the newest first. */
  readonly #names = new Map<string, string>();
  readonly #adopting = new Set<string>();

  /** `isListed` returns whether a manifest names the file of a digest. Such a file is not dropped. */
  constructor(folder: ListStorage, budget: DiskBudget, isListed: (digest: string) => boolean) {
    this.#folder = folder;
    this.#budget = budget;
    this.#isListed = isListed;
    // If there are two of the same file, the newest is the one that was served last.
    for (const name of [...folder.files()].sort(
      (a, b) => parseCreatedAt(b) - parseCreatedAt(a) || (a < b ? 1 : -1),
    )) {
      const [, digest] = NAME_PATTERN.exec(name) ?? [];
      if (digest === undefined || name.endsWith(PART) || this.#names.has(digest)) this.#delete(name);
      else this.#names.set(digest, name);
      budget.recount(name);
    }
  }

  get names(): readonly string[] {
    return [...this.#names.values(), ...this.#adopting];
  }

  /**
   * Verifies what is on disk of the file and assigns it. Deletes it if it is not an ID list. Throws if it cannot be read at the
   * moment; it stays on disk then and can be adopted later.
   */
  async adopt(file: ListFile): Promise<void> {
    const name = this.#names.get(file.digest);
    if (name === undefined) return;
    this.#names.delete(file.digest);
    this.#adopting.add(name);
    try {
      file.bytes = await this.#verify(name);
      file.name = name;
      file.isWhole = true;
    } catch (error) {
      if (error instanceof InvalidLine || (error as NodeJS.ErrnoException).code === "ENOENT") {
        this.#delete(name);
        return;
      }
      this.#names.set(file.digest, name);
      throw error;
    } finally {
      this.#adopting.delete(name);
      this.#budget.recount(name);
    }
  }

  /** Deletes the orphan of a file that was downloaded in the meantime. */
  deleteOrphan({ digest }: ListFile): void {
    const name = this.#names.get(digest);
    if (name === undefined) return;
    this.#names.delete(digest);
    this.#delete(name);
    this.#budget.recount(name);
  }

  /** Deletes files that no manifest names, the oldest first, until `bytes` were freed. */
  drop(bytes = Number.POSITIVE_INFINITY): void {
    let freed = 0;
    for (const [digest, name] of [...this.#names].reverse()) {
      if (freed >= bytes) return;
      if (this.#isListed(digest)) continue;
      const before = this.#budget.countedBytes(name);
      this.#names.delete(digest);
      this.#delete(name);
      this.#budget.recount(name);
      freed += before - this.#budget.countedBytes(name);
    }
  }

  /** Truncates the file after its last whole line and returns its length. Throws InvalidLine, or an error of the file system. */
  async #verify(name: string): Promise<number> {
    await using handle = await this.#folder.open(name, "r+");
    const check = new LineCheck(0);
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (let at = 0; ; ) {
      const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, at);
      if (bytesRead === 0) break;
      check.add(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
    await handle.truncate(check.wholeLines);
    return check.wholeLines;
  }

  /** If this fails, the next sweep of the folder deletes the file, because nothing refers to it. The budget counts it until then. */
  #delete(name: string): void {
    try {
      this.#folder.delete(name);
    } catch {
      this.#budget.needsSweep = true;
    }
  }
}
