import PQueue from "p-queue";
import type { SdkKey } from "../access/sdk-key.ts";
import { abortAfter } from "../platform/abort.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { type DownloadParts, download, type ListFileSource } from "./download.ts";
import { DownloadQueue, type OnProgress } from "./download-queue.ts";
import type { EmitIdListEvent } from "./events.ts";
import {
  DiskBudget,
  DiskFull,
  digestFile,
  type FileFailure,
  ListFile,
  type ListStorage,
  MARK_USED_EVERY_MS,
} from "./folder.ts";
import type { IdListEntry } from "./manifest.ts";
import { OrphanedFiles } from "./orphaned-files.ts";

interface ListFileStoreOptions {
  /** The store disposes of it. */
  readonly folder: ListStorage;
  readonly source: ListFileSource;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitIdListEvent;
  /** Limits all files together. */
  readonly maxBytes: number;
  /** The limit of downloads in flight, from all hosts together. */
  readonly maxDownloads: number;
}

export interface ListFileStoreStatus {
  /** Counts the files that are whole. */
  readonly files: number;
  readonly bytes: number;
  /** One problem for each listed file that differs from upstream's. */
  readonly problems: readonly NonNullable<ListFile["problem"]>[];
}

/** The time limit of a download. It is longer for files that take longer at {@link MIN_BYTES_PER_MS}. */
const DOWNLOAD_LIMIT_MS = 30 * 60_000;

/** 100 kB/s. A slower host would occupy a slot for too long. */
const MIN_BYTES_PER_MS = 100;

/** Applies to any size that a manifest claims. A timer cannot wait for more than 24 days. */
const MAX_DOWNLOAD_LIMIT_MS = 24 * 3_600_000;

/** How long a file stays after the last manifest that names it, for clients that have that manifest. A read that has begun can finish. */
const UNLISTED_GRACE_MS = 30_000;

/** How long files from before a restart are kept until a manifest names them. */
const ORPHANS_KEPT_MS = 3_600_000;

/** The limit of files from before a restart that are verified at the same time. */
const MAX_ADOPTIONS = 4;

/** Longer names of lists are cut in logs and on the status page. */
const MAX_NAME_CHARS = 100;

/** Error codes that mean that the process is out of resources; the file itself is fine. */
const PROCESS_ERRORS: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

/** Holds the files of all ID lists that manifests name. Keys with the same list share its file. */
export class ListFileStore implements AsyncDisposable {
  readonly #options: ListFileStoreOptions;
  readonly #budget: DiskBudget;
  readonly #orphans: OrphanedFiles;
  readonly #files = new Map<string, ListFile>();
  readonly #byFileId = new Map<string, Set<ListFile>>();
  readonly #queue: DownloadQueue<SdkKey>;
  readonly #updating = new Map<ListFile, Promise<void>>();
  /** Separate from downloads: a file on disk must not wait for a host that hangs. */
  readonly #adoptions = new PQueue({ concurrency: MAX_ADOPTIONS });
  readonly #adopting = new Map<ListFile, Promise<void>>();
  readonly #stopping = new AbortController();
  /** Names of files that do not belong to a {@link ListFile} yet. */
  readonly #writing = new Set<string>();
  /** Names of files that do not belong to a {@link ListFile} any longer. */
  readonly #retiring = new Set<string>();

  constructor(options: ListFileStoreOptions) {
    this.#options = options;
    this.#budget = new DiskBudget(options.maxBytes, options.folder, (bytes) => this.#orphans.drop(bytes));
    this.#orphans = new OrphanedFiles(options.folder, this.#budget, (digest) => this.#isListed(digest));
    this.#queue = new DownloadQueue(options.maxDownloads, options.clock);
    this.#dropOrphansLater();
    this.#markUsedLater();
  }

  /** Returns the file of an entry, even if nothing of it is on disk. It stays until every {@link use} was released. */
  findOrAdd(entry: IdListEntry): ListFile {
    const digest = digestFile(entry);
    const known = this.#files.get(digest);
    if (known !== undefined) return known;
    const file = new ListFile(entry);
    this.#files.set(digest, file);
    const sameId = this.#byFileId.get(file.fileID) ?? new Set();
    this.#byFileId.set(file.fileID, sameId.add(file));
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
   * Returns the file that is served under a fileID, and its path. Lists of several keys may have different files with the same
   * fileID: `digest`, the beginning of a file's digest, selects one of them. The default is the one that was listed first.
   */
  find(fileID: string, digest = ""): { readonly file: ListFile; readonly path: string } | undefined {
    let found: ListFile | undefined;
    for (const file of this.#byFileId.get(fileID) ?? []) {
      if (!file.isWhole || !file.digest.startsWith(digest)) continue;
      if (found === undefined || (found.uses === 0 && file.uses > 0)) found = file;
    }
    if (found?.name === undefined) return undefined;
    return { file: found, path: this.#options.folder.toPath(found.name) };
  }

  /**
   * Records that the file with this digest could not be read for a client. It is downloaded again after the next poll, unless the
   * process is at fault.
   */
  reportUnreadable(digest: string, { code, detail }: FileFailure): void {
    const file = this.#files.get(digest);
    // No list has had the file for a while, so nothing is left to download again.
    if (file === undefined) return;
    if (code === undefined || !PROCESS_ERRORS.has(code)) file.isDamaged = true;
    this.#reportFailure(file, file.listName, `cannot read the file: ${detail}`);
  }

  /**
   * Brings the file up to date with the entry. Concurrent calls share one download. Never rejects. `onAdopted` is called before
   * the download, once the file is available as it was before a restart.
   */
  async update(file: ListFile, entry: IdListEntry, sdkKey: SdkKey, onAdopted = () => {}): Promise<void> {
    await this.#adopt(file);
    onAdopted();
    await this.#updating.get(file);
    try {
      if (this.#isUpToDate(file, entry)) return;
    } catch (error) {
      // For example, the folder was deleted, or its permissions were changed.
      this.#budget.needsSweep = true;
      this.#reportFailure(file, entry.name, String(error));
      return;
    }
    const updating = this.#updating.get(file) ?? this.#updateNow(file, entry, sdkKey);
    this.#updating.set(file, updating);
    await updating;
  }

  get status(): ListFileStoreStatus {
    const files = [...this.#files.values()];
    const problems = files.flatMap(({ uses, problem }) => (uses > 0 && problem ? [problem] : []));
    return { files: files.filter(({ isWhole }) => isWhole).length, bytes: this.#budget.usedBytes, problems };
  }

  /** After a failure, deletes files that nothing refers to, and recounts the others. */
  sweep(): void {
    if (!this.#budget.needsSweep) return;
    this.#budget.needsSweep = false;
    const { folder } = this.#options;
    const names = [...this.#files.values()].map(({ name }) => name);
    const referenced = new Set([...names, ...this.#orphans.names, ...this.#writing, ...this.#retiring]);
    try {
      const existing = folder.files();
      for (const name of existing) if (!referenced.has(name)) this.#delete(name);
      for (const name of [...existing, ...this.#budget.names]) this.#budget.recount(name);
    } catch {
      this.#budget.needsSweep = true;
    }
  }

  /** A size below the file's is not up to date either: the manifest may be older than the file, or upstream's file has shrunk. */
  #isUpToDate(file: ListFile, entry: IdListEntry): boolean {
    const isWhole = this.#isOnDisk(file) && file.isWhole && !file.isDamaged;
    if (!isWhole || file.bytes !== entry.size) return false;
    file.problem = undefined;
    return true;
  }

  #isListed(digest: string): boolean {
    return (this.#files.get(digest)?.uses ?? 0) > 0;
  }

  /** Repeats itself: an orphan that a manifest names stays, and the next time no manifest may name it. */
  #dropOrphansLater(): void {
    this.#after(ORPHANS_KEPT_MS, () => {
      this.#orphans.drop();
      this.#dropOrphansLater();
    });
  }

  #markUsedLater(): void {
    this.#after(MARK_USED_EVERY_MS, () => {
      this.#options.folder.markUsed();
      this.#markUsedLater();
    });
  }

  async #adopt(file: ListFile): Promise<void> {
    if (file.name !== undefined || this.#updating.has(file)) return;
    const adopting = this.#adopting.get(file) ?? this.#adoptions.add(() => this.#adoptNow(file));
    this.#adopting.set(file, adopting);
    await adopting;
  }

  async #adoptNow(file: ListFile): Promise<void> {
    try {
      if (file.uses > 0 && !this.#stopping.signal.aborted) await this.#orphans.adopt(file);
    } catch (error) {
      this.#reportFailure(
        file,
        file.listName,
        `cannot read the file from before the restart: ${String(error)}`,
      );
    } finally {
      this.#adopting.delete(file);
    }
  }

  async #updateNow(file: ListFile, entry: IdListEntry, sdkKey: SdkKey): Promise<void> {
    try {
      await this.#adopting.get(file);
      const problem = await this.#queue.run(sdkKey, (onProgress) => this.#download(file, entry, onProgress));
      if (problem === undefined) file.problem = undefined;
      else this.#reportFailure(file, entry.name, problem);
    } catch (error) {
      // A full budget or a failure of upstream leaves no file behind.
      if (!(error instanceof DiskFull)) this.#budget.needsSweep = true;
      if (!this.#stopping.signal.aborted) this.#reportFailure(file, entry.name, String(error));
    } finally {
      this.#updating.delete(file);
    }
  }

  async #download(file: ListFile, entry: IdListEntry, onProgress: OnProgress): Promise<string | undefined> {
    const { clock, emit } = this.#options;
    const startedAt = clock.now();
    if (file.uses === 0) return undefined;
    this.#stopping.signal.throwIfAborted();
    const bytesBefore = file.bytes;
    if (file.isWhole && !file.isDamaged && bytesBefore === entry.size) return undefined;
    this.#budget.check(entry.size - bytesBefore);
    const done = new AbortController();
    const sizedMs = Math.min(MAX_DOWNLOAD_LIMIT_MS, entry.size / MIN_BYTES_PER_MS);
    const limitMs = Math.max(DOWNLOAD_LIMIT_MS, sizedMs);
    const late = new Error(`download not finished within ${Math.round(limitMs / 60_000)} minutes`);
    abortAfter(done, limitMs, clock, late);
    // Also aborted when the download is over, so that upstream does not send the rest of a response that is not read.
    const signal = AbortSignal.any([this.#stopping.signal, done.signal]);
    try {
      return await download(file, entry, this.#downloadParts(signal, onProgress));
    } finally {
      done.abort();
      if (file.isWhole) this.#orphans.deleteOrphan(file);
      const addedBytes = file.bytes - bytesBefore;
      const tookMs = clock.now() - startedAt;
      if (addedBytes !== 0) {
        const { name: list, fileID } = entry;
        emit({ kind: "id_list_file_updated", list, fileID, addedBytes, bytes: file.bytes, tookMs });
      }
    }
  }

  #downloadParts(signal: AbortSignal, onProgress: OnProgress): DownloadParts {
    const { folder, source } = this.#options;
    const retire = (name: string) => {
      this.#retiring.add(name);
      this.#after(UNLISTED_GRACE_MS, () => {
        this.#retiring.delete(name);
        this.#delete(name);
      });
    };
    return { source, folder, budget: this.#budget, writing: this.#writing, retire, signal, onProgress };
  }

  #reportFailure(file: ListFile, name: string, detail: string): void {
    const list = name.slice(0, MAX_NAME_CHARS).toWellFormed();
    file.problem = { list, detail, since: file.problem?.since ?? this.#options.clock.now() };
    this.#options.emit({ kind: "id_list_file_failed", list, detail });
  }

  /** If the file was deleted, truncated or made unreadable by another process, forgets it, so that it is downloaded again. */
  #isOnDisk(file: ListFile): boolean {
    const { folder } = this.#options;
    const { name } = file;
    if (name === undefined) return false;
    if ((folder.findSize(name) ?? -1) >= file.bytes && folder.isReadable(name)) return true;
    this.#budget.needsSweep = true;
    file.name = undefined;
    file.isWhole = false;
    file.bytes = 0;
    this.#delete(name);
    return false;
  }

  async #removeUnused(file: ListFile): Promise<void> {
    await this.#adopting.get(file);
    await this.#updating.get(file);
    if (file.uses > 0 || this.#files.get(file.digest) !== file) return;
    this.#files.delete(file.digest);
    const sameId = this.#byFileId.get(file.fileID);
    sameId?.delete(file);
    if (sameId?.size === 0) this.#byFileId.delete(file.fileID);
    if (file.name !== undefined) this.#delete(file.name);
  }

  /** If this fails, the next sweep deletes the file. */
  #delete(name: string): void {
    const { folder, emit } = this.#options;
    const before = this.#budget.usedBytes;
    try {
      folder.delete(name);
    } catch {
      this.#budget.needsSweep = true;
    }
    this.#budget.recount(name);
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

  /** The files stay on disk, for the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the relay is shutting down"));
    await Promise.allSettled([...this.#adopting.values(), ...this.#updating.values()]);
    this.#options.folder[Symbol.dispose]();
  }
}
