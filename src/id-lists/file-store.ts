import PQueue from "p-queue";
import type { SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { type DownloadParts, download, type ListFileSource } from "./download.ts";
import { DownloadQueue, type Progressed } from "./download-queue.ts";
import type { EmitIdListEvent } from "./events.ts";
import {
  DiskBudget,
  DiskFull,
  fileDigest,
  ListFile,
  type ListStorage,
  MARK_USED_EVERY_MS,
} from "./folder.ts";
import type { IdListEntry } from "./manifest.ts";
import { OrphanedFiles } from "./orphaned-files.ts";

interface ListFileStoreOptions {
  /** The shelf closes it. */
  readonly folder: ListStorage;
  readonly source: ListFileSource;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitIdListEvent;
  /** Of all files together. */
  readonly maxBytes: number;
  /** At once, from whatever host. */
  readonly maxDownloads: number;
}

/** Of the files together, and those that are not as upstream's are. */
export interface ListFileStoreStatus {
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly NonNullable<ListFile["problem"]>[];
}

/** A download may take so long, and longer if the file is larger than what comes at {@link SLOWEST_BYTES_PER_MS}. */
const DOWNLOAD_LIMIT_MS = 30 * 60_000;

/** A host that sends no more than this takes places from the others: 100 kB/s. */
const SLOWEST_BYTES_PER_MS = 100;

/** Whatever size a manifest claims; a timer can't wait for more than 24 days. */
const MAX_DOWNLOAD_LIMIT_MS = 24 * 3_600_000;

/** A client that read the manifest before has so long to begin with a file. Once it has, it reads to the end. */
const UNLISTED_GRACE_MS = 30_000;

/** What the relay had before it was restarted waits so long for a client that asks for it. */
const LEFTOVERS_MS = 3_600_000;

/** So many files of before a restart are read through at once. */
const MAX_ADOPTIONS = 4;

/** As many characters of a list's name are shown to people. */
const MAX_NAME_CHARS = 100;

/** Errors of opening a file that say nothing of the file. */
const LACKS_OF_THE_PROCESS: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

/** The files of all ID lists that a manifest here names. A file is shared by all keys that list it. */
export class ListFileStore implements AsyncDisposable {
  readonly #options: ListFileStoreOptions;
  readonly #budget: DiskBudget;
  readonly #leftovers: OrphanedFiles;
  readonly #files = new Map<string, ListFile>();
  readonly #byFileId = new Map<string, Set<ListFile>>();
  readonly #queue: DownloadQueue<SdkKey>;
  readonly #underway = new Map<ListFile, Promise<void>>();
  /** Apart from downloads: what is on disk must not wait for a host that hangs. */
  readonly #adoptions = new PQueue({ concurrency: MAX_ADOPTIONS });
  readonly #adopting = new Map<ListFile, Promise<void>>();
  readonly #stopping = new AbortController();
  /** Names of files that belong to no {@link ListFile}: not yet, or no longer. */
  readonly #writing = new Set<string>();
  readonly #retiring = new Set<string>();
  /** The disk failed, so that there may be files in the folder that nothing refers to. */
  #needsSweep = true;

  constructor(options: ListFileStoreOptions) {
    this.#options = options;
    this.#budget = new DiskBudget(options.maxBytes, options.folder, (bytes) => this.#leftovers.drop(bytes));
    this.#leftovers = new OrphanedFiles(options.folder, this.#budget, (digest) => this.#isListed(digest));
    this.#queue = new DownloadQueue(options.maxDownloads, options.clock);
    this.#dropLeftoversLater();
    this.#markUsedLater();
  }

  /** The file of an entry, whether or not anything of it is here. It stays until all who {@link use} it release it. */
  file(entry: IdListEntry): ListFile {
    const digest = fileDigest(entry);
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

  /** A client could not be sent the file. It is fetched again in the next round, unless the process lacks something. */
  unreadable(file: ListFile, error: unknown): void {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!LACKS_OF_THE_PROCESS.has(code)) file.isDamaged = true;
    this.#failed(file, file.listName, `it can't be read: ${String(error)}`);
  }

  /**
   * Sees to it that the file is as the entry says. However many ask, it is fetched once. Never rejects. `adopted` is
   * called before anything is fetched, when what the relay had of the file before it was restarted is there.
   */
  async bring(file: ListFile, entry: IdListEntry, sdkKey: SdkKey, adopted = () => {}): Promise<void> {
    await this.#adopt(file);
    adopted();
    await this.#underway.get(file);
    try {
      if (this.#isUpToDate(file, entry)) return;
    } catch (error) {
      // Such as a folder that somebody took away, or its rights.
      this.#needsSweep = true;
      this.#failed(file, entry.name, String(error));
      return;
    }
    const underway = this.#underway.get(file) ?? this.#bringNow(file, entry, sdkKey);
    this.#underway.set(file, underway);
    await underway;
  }

  get status(): ListFileStoreStatus {
    const files = [...this.#files.values()];
    const problems = files.flatMap(({ uses, problem }) => (uses > 0 && problem ? [problem] : []));
    return { files: files.filter(({ isWhole }) => isWhole).length, bytes: this.#budget.usedBytes, problems };
  }

  /** Deletes what failures left behind in the folder, and counts what is there. */
  sweep(): void {
    if (!this.#needsSweep && !this.#budget.isUncertain) return;
    this.#needsSweep = false;
    this.#budget.isUncertain = false;
    const { folder } = this.#options;
    const names = [...this.#files.values()].map(({ name }) => name);
    const referred = new Set([...names, ...this.#leftovers.names, ...this.#writing, ...this.#retiring]);
    try {
      const there = folder.files();
      for (const name of there) if (!referred.has(name)) this.#delete(name);
      for (const name of [...there, ...this.#budget.names]) this.#budget.settle(name);
    } catch {
      this.#needsSweep = true;
    }
  }

  /** A manifest whose size is smaller than the file may be older than it, or say that upstream's file has shrunk. */
  #isUpToDate(file: ListFile, entry: IdListEntry): boolean {
    const isWhole = this.#isThere(file) && file.isWhole && !file.isDamaged;
    if (!isWhole || file.bytes !== entry.size) return false;
    file.problem = undefined;
    return true;
  }

  #isListed(digest: string): boolean {
    return (this.#files.get(digest)?.uses ?? 0) > 0;
  }

  /** Again and again: one that is listed stays, and may be listed no longer the next time. */
  #dropLeftoversLater(): void {
    this.#after(LEFTOVERS_MS, () => {
      this.#leftovers.drop();
      this.#dropLeftoversLater();
    });
  }

  #markUsedLater(): void {
    this.#after(MARK_USED_EVERY_MS, () => {
      this.#options.folder.markUsed();
      this.#markUsedLater();
    });
  }

  async #adopt(file: ListFile): Promise<void> {
    if (file.name !== undefined || this.#underway.has(file)) return;
    const adopting = this.#adopting.get(file) ?? this.#adoptions.add(() => this.#adoptNow(file));
    this.#adopting.set(file, adopting);
    await adopting;
  }

  async #adoptNow(file: ListFile): Promise<void> {
    try {
      if (file.uses > 0 && !this.#stopping.signal.aborted) await this.#leftovers.adopt(file);
    } catch (error) {
      this.#failed(file, file.listName, `what is on disk of it can't be read: ${String(error)}`);
    } finally {
      this.#adopting.delete(file);
    }
  }

  async #bringNow(file: ListFile, entry: IdListEntry, sdkKey: SdkKey): Promise<void> {
    try {
      await this.#adopting.get(file);
      const problem = await this.#queue.run(sdkKey, (progressed) => this.#download(file, entry, progressed));
      if (problem === undefined) file.problem = undefined;
      else this.#failed(file, entry.name, problem);
    } catch (error) {
      // What upstream does, or that there is no room, leaves nothing behind.
      if (!(error instanceof DiskFull)) this.#needsSweep = true;
      if (!this.#stopping.signal.aborted) this.#failed(file, entry.name, String(error));
    } finally {
      this.#underway.delete(file);
    }
  }

  async #download(file: ListFile, entry: IdListEntry, progressed: Progressed): Promise<string | undefined> {
    const { clock, emit } = this.#options;
    const startedAt = clock.now();
    if (file.uses === 0) return undefined;
    this.#stopping.signal.throwIfAborted();
    const bytesBefore = file.bytes;
    if (file.isWhole && !file.isDamaged && bytesBefore === entry.size) return undefined;
    this.#budget.check(entry.size - bytesBefore);
    const late = new AbortController();
    const done = new AbortController();
    const sizedMs = Math.min(MAX_DOWNLOAD_LIMIT_MS, entry.size / SLOWEST_BYTES_PER_MS);
    const limitMs = Math.max(DOWNLOAD_LIMIT_MS, sizedMs);
    clock.sleep(limitMs, done.signal).then(
      () => late.abort(new Error(`no whole file within ${Math.round(limitMs / 60_000)} minutes`)),
      () => {},
    );
    // At the end, too: what nobody reads of an answer is not sent for nothing.
    const signal = AbortSignal.any([this.#stopping.signal, late.signal, done.signal]);
    try {
      return await download(file, entry, this.#downloadParts(signal, progressed));
    } finally {
      done.abort();
      if (file.isWhole) this.#leftovers.supersede(file);
      const addedBytes = file.bytes - bytesBefore;
      const tookMs = clock.now() - startedAt;
      if (addedBytes !== 0)
        emit({ kind: "id_list_file_updated", list: entry.name, addedBytes, bytes: file.bytes, tookMs });
    }
  }

  #downloadParts(signal: AbortSignal, progressed: Progressed): DownloadParts {
    const { folder, source } = this.#options;
    const retire = (name: string) => {
      this.#retiring.add(name);
      this.#after(UNLISTED_GRACE_MS, () => {
        this.#retiring.delete(name);
        this.#delete(name);
      });
    };
    return { source, folder, budget: this.#budget, writing: this.#writing, retire, signal, progressed };
  }

  #failed(file: ListFile, name: string, detail: string): void {
    const list = name.slice(0, MAX_NAME_CHARS).toWellFormed();
    file.problem = { list, detail, since: file.problem?.since ?? this.#options.clock.now() };
    this.#options.emit({ kind: "id_list_file_failed", list, detail });
  }

  /** Somebody else may have emptied the folder, or taken the right to read a file: the file is then fetched again. */
  #isThere(file: ListFile): boolean {
    const { folder } = this.#options;
    const { name } = file;
    if (name === undefined) return false;
    if ((folder.bytesOf(name) ?? -1) >= file.bytes && folder.isReadable(name)) return true;
    this.#needsSweep = true;
    file.name = undefined;
    file.isWhole = false;
    file.bytes = 0;
    this.#delete(name);
    return false;
  }

  async #removeUnused(file: ListFile): Promise<void> {
    await this.#adopting.get(file);
    await this.#underway.get(file);
    if (file.uses > 0 || this.#files.get(file.digest) !== file) return;
    this.#files.delete(file.digest);
    const namesakes = this.#byFileId.get(file.fileID);
    namesakes?.delete(file);
    if (namesakes?.size === 0) this.#byFileId.delete(file.fileID);
    if (file.name !== undefined) this.#delete(file.name);
  }

  /** What can't be deleted now is by the next sweep. */
  #delete(name: string): void {
    const { folder, emit } = this.#options;
    const before = this.#budget.usedBytes;
    try {
      folder.delete(name);
    } catch {
      this.#needsSweep = true;
    }
    this.#budget.settle(name);
    const bytes = before - this.#budget.usedBytes;
    if (bytes > 0) emit({ kind: "id_list_file_removed", bytes });
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
    await Promise.allSettled([...this.#adopting.values(), ...this.#underway.values()]);
    this.#options.folder[Symbol.dispose]();
  }
}
