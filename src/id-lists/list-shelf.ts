import PQueue from "p-queue";
import type { Clock } from "../clock.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import { DiskBudget } from "./disk-budget.ts";
import type { EmitIdListEvent } from "./events.ts";
import { Leftovers } from "./leftovers.ts";
import { download } from "./list-download.ts";
import { digestOf, ListFile } from "./list-file.ts";
import type { ListFileSource } from "./list-file-source.ts";
import type { ListFolder } from "./list-folder.ts";
import type { IdListEntry } from "./manifest.ts";

export interface ListShelfOptions {
  /** The shelf closes it. */
  readonly folder: ListFolder;
  readonly source: ListFileSource;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitIdListEvent;
  /** Of all files together. */
  readonly maxBytes: number;
}

const MAX_DOWNLOADS = 4;
const DOWNLOAD_LIMIT_MS = 30 * 60_000;

/** A client that read the manifest before has so long to begin with a file. Once it has, it reads to the end. */
const UNLISTED_GRACE_MS = 30_000;

/** What the relay had before it was started anew waits so long for a client that asks for it. */
const LEFTOVERS_MS = 3_600_000;

/** The files of all ID lists that a manifest here names. A file is shared by all keys that list it. */
export class ListShelf implements AsyncDisposable {
  readonly #options: ListShelfOptions;
  readonly #budget: DiskBudget;
  readonly #leftovers: Leftovers;
  readonly #files = new Map<string, ListFile>();
  readonly #byFileId = new Map<string, Set<ListFile>>();
  readonly #queue = new PQueue({ concurrency: MAX_DOWNLOADS });
  readonly #underway = new Map<ListFile, Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(options: ListShelfOptions) {
    this.#options = options;
    this.#budget = new DiskBudget(options.maxBytes, () => this.#leftovers.drop());
    this.#leftovers = new Leftovers(options.folder, this.#budget);
    this.#after(LEFTOVERS_MS, () => this.#leftovers.drop());
  }

  /** The file of an entry, whether or not anything of it is here. It stays until all who {@link use} it release it. */
  file(entry: IdListEntry): ListFile {
    const digest = digestOf(entry);
    const known = this.#files.get(digest);
    if (known !== undefined) return known;
    const file = new ListFile(entry);
    this.#files.set(digest, file);
    const namesakes = this.#byFileId.get(file.fileID) ?? new Set();
    this.#byFileId.set(file.fileID, namesakes.add(file));
    return file;
  }

  use(file: ListFile): void {
    file.uses++;
  }

  release(file: ListFile): void {
    file.uses--;
    if (file.uses === 0) this.#after(UNLISTED_GRACE_MS, () => this.#removeUnused(file));
  }

  /**
   * The file that is served under a fileID, and `path`, where it is. Lists of several keys may have files of the same
   * fileID: without `digest`, which tells them apart by its beginning, it is the one that was listed first.
   */
  find(fileID: string, digest = ""): { readonly file: ListFile; readonly path: string } | undefined {
    let found: ListFile | undefined;
    for (const file of this.#byFileId.get(fileID) ?? []) {
      if (!file.isWhole || !file.digest.startsWith(digest)) continue;
      if (found === undefined || (found.uses === 0 && file.uses > 0)) found = file;
    }
    if (found?.name === undefined) return undefined;
    return { file: found, path: this.#options.folder.pathOf(found.name) };
  }

  /** Sees to it that the file is as long as the entry says. However many ask, it is fetched once. Never rejects. */
  async bring(file: ListFile, entry: IdListEntry): Promise<void> {
    await this.#underway.get(file);
    try {
      if (this.#isWhole(file, entry)) return;
    } catch (error) {
      // Such as a folder that somebody took away, or its rights.
      this.#options.emit({ kind: "id_list_file_failed", list: entry.name, detail: String(error) });
      return;
    }
    const underway = this.#underway.get(file) ?? this.#bringNow(file, entry);
    this.#underway.set(file, underway);
    await underway;
  }

  #isWhole(file: ListFile, entry: IdListEntry): boolean {
    return this.#isThere(file) && file.isWhole && file.bytes >= entry.size;
  }

  async #bringNow(file: ListFile, entry: IdListEntry): Promise<void> {
    const list = entry.name;
    try {
      const problem = await this.#queue.add(() => this.#download(file, entry));
      if (problem !== undefined) this.#options.emit({ kind: "id_list_file_failed", list, detail: problem });
    } catch (error) {
      if (!this.#stopping.signal.aborted) {
        this.#options.emit({ kind: "id_list_file_failed", list, detail: String(error) });
      }
    } finally {
      this.#underway.delete(file);
    }
  }

  async #download(file: ListFile, entry: IdListEntry): Promise<string | undefined> {
    const { clock, emit, folder, source } = this.#options;
    const startedAt = clock.now();
    if (file.uses === 0) return undefined;
    if (file.name === undefined) await this.#leftovers.adopt(file);
    const bytesBefore = file.bytes;
    if (file.isWhole && bytesBefore >= entry.size) return undefined;
    this.#budget.check(entry.size - bytesBefore);
    const late = new AbortController();
    const done = new AbortController();
    clock.sleep(DOWNLOAD_LIMIT_MS, done.signal).then(
      () => late.abort(new Error("no whole file within 30 minutes")),
      () => {},
    );
    const signal = AbortSignal.any([this.#stopping.signal, late.signal]);
    const retire = (name: string, bytes: number) =>
      this.#after(UNLISTED_GRACE_MS, () => this.#delete(name, bytes));
    try {
      return await download(file, entry.url, { source, folder, budget: this.#budget, retire, signal });
    } finally {
      done.abort();
      const addedBytes = file.bytes - bytesBefore;
      const tookMs = clock.now() - startedAt;
      if (addedBytes !== 0)
        emit({ kind: "id_list_file_updated", list: entry.name, addedBytes, bytes: file.bytes, tookMs });
    }
  }

  /** Somebody else may have emptied the folder: the file is then fetched anew. */
  #isThere(file: ListFile): boolean {
    if (file.name === undefined) return false;
    if ((this.#options.folder.bytesOf(file.name) ?? -1) >= file.bytes) return true;
    this.#budget.giveBack(file.bytes);
    file.name = undefined;
    file.isWhole = false;
    file.bytes = 0;
    return false;
  }

  async #removeUnused(file: ListFile): Promise<void> {
    await this.#underway.get(file);
    if (file.uses > 0 || this.#files.get(file.digest) !== file) return;
    this.#files.delete(file.digest);
    const namesakes = this.#byFileId.get(file.fileID);
    namesakes?.delete(file);
    if (namesakes?.size === 0) this.#byFileId.delete(file.fileID);
    if (file.name !== undefined) this.#delete(file.name, file.bytes);
  }

  #delete(name: string, bytes: number): void {
    this.#options.folder.delete(name);
    this.#budget.giveBack(bytes);
    this.#options.emit({ kind: "id_list_file_removed", bytes });
  }

  #after(ms: number, act: () => void | Promise<void>): void {
    const { clock, supervisor } = this.#options;
    clock.sleep(ms, this.#stopping.signal).then(
      () => supervisor.task("id_list_files", act),
      () => {},
    );
  }

  /** The files stay, for the relay that starts next. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the relay is shutting down"));
    await Promise.allSettled(this.#underway.values());
    this.#options.folder[Symbol.dispose]();
  }
}
