import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { BootstrapCatalog, type CatalogChange, namesKey } from "./catalog.ts";
import type { EmitBootstrapEvent } from "./events.ts";
import { type Listing, listFiles } from "./folder.ts";

interface BootstrapFilesOptions {
  /** `--bootstrap-path`: a folder or a file. */
  readonly path: string;
  /** Limit of the size of a config spec, as it is stored and decoded. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitBootstrapEvent;
}

/** How often the folder is looked at. */
const EVERY_MS = 1_000;

/** Two looks this far apart must agree, so that a file that is being written is complete. */
const SETTLE_MS = 100;

/** Reads the files of `--bootstrap-path` at the start, when they change, and on request. */
export class BootstrapFiles implements AsyncDisposable {
  readonly catalog: BootstrapCatalog;
  readonly #options: BootstrapFilesOptions;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<() => void>();
  /** Resolves when the files were read for the first time. */
  readonly opened: Promise<void>;
  readonly #running: Promise<void>;
  /** The names and signatures of the files that were read last. */
  #read = "";
  #mustReport = true;
  #idle = new AbortController();
  /** Called after the next read that begins. */
  readonly #awaited: (() => void)[] = [];

  constructor(options: BootstrapFilesOptions) {
    this.#options = options;
    this.catalog = new BootstrapCatalog(options);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.opened = promise;
    const { signal } = this.#stopping;
    signal.addEventListener("abort", () => resolve());
    this.#running = options.supervisor.loop("bootstrap_files", signal, async (worked) => {
      const awaited = this.#awaited.splice(0);
      await this.#readIfChanged();
      for (const ready of [resolve, ...awaited]) ready();
      worked();
      await this.#wait();
    });
  }

  get path(): string {
    return this.#options.path;
  }

  /** Reads the files again, and reports all that are unusable. */
  checkNow(): void {
    this.#mustReport = true;
    this.#idle.abort();
  }

  /** As {@link checkNow}; resolves when the files were read, or at the end. */
  async readNow(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#awaited.push(resolve);
    this.checkNow();
    await Promise.race([promise, this.#running]);
  }

  /** Calls the listener each time other files can be served. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  async #readIfChanged(): Promise<void> {
    const listing = await this.#list();
    const read = identify(listing);
    if (read === this.#read && !this.#mustReport) return;
    const mustReport = this.#mustReport;
    this.#mustReport = false;
    const change = await this.catalog.update(listing);
    if (this.#stopping.signal.aborted) return;
    this.#read = read;
    this.#report(listing, change, mustReport);
    if (change.isChanged) for (const listener of this.#listeners) listener();
  }

  /** Returns what two looks agree on. */
  async #list(): Promise<Listing> {
    const { path, maxBytes, clock } = this.#options;
    let listing = await listFiles(path, maxBytes);
    while (identify(listing) !== this.#read) {
      const before = identify(listing);
      if (this.#read !== "") await clock.sleep(SETTLE_MS, this.#stopping.signal);
      listing = await listFiles(path, maxBytes);
      if (identify(listing) === before) break;
    }
    return listing;
  }

  #report(listing: Listing, { changed, isChanged }: CatalogChange, isAll: boolean): void {
    const { path, emit } = this.#options;
    if (listing.kind === "failed") {
      emit({ kind: "bootstrap_failed", path, reason: listing.reason });
      return;
    }
    if (!isChanged && !isAll) return;
    const { usable, unusable } = this.catalog;
    const isReported = ({ name }: { readonly name: string }) =>
      isAll || changed.some((file) => file.name === name);
    emit({ kind: "bootstrap_read", path, usable: usable.length, unusable });
    for (const file of unusable.filter(isReported)) emit({ kind: "bootstrap_unusable", ...file });
    const unnamed = usable.filter((file) => !namesKey(file)).toSorted((one, other) => other.lcut - one.lcut);
    const newest = unnamed.find(isReported);
    if (newest === undefined) return;
    emit({ kind: "bootstrap_for_every_key", files: unnamed.length, name: newest.name });
  }

  async #wait(): Promise<void> {
    this.#idle = new AbortController();
    const { signal } = this.#stopping;
    if (signal.aborted || this.#mustReport) return;
    await this.#options.clock.sleep(EVERY_MS, this.#idle.signal).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the relay is shutting down"));
    this.#idle.abort();
    await this.#running;
  }
}

function identify(listing: Listing): string {
  if (listing.kind === "failed") return `failed: ${listing.reason}`;
  return JSON.stringify(listing.files.map(({ name, signature, problem }) => [name, signature, problem]));
}
