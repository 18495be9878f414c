import type { SdkKey } from "../access/sdk-key.ts";
import type { ListFileStore } from "./file-store.ts";
import type { FileFailure, ListFile } from "./folder.ts";
import { type Manifest, MISSING_FILE_ID } from "./manifest.ts";
import type { HeldManifest, ManifestStore } from "./store.ts";

/** The lists of one key, by name. */
interface KeyLists {
  /** Names of all lists in upstream's manifest, including those that upstream, a relay, does not have yet. */
  names: readonly string[];
  /** The files that upstream's manifest names. */
  readonly wanted: Map<string, ListFile>;
  /** The files that are served: an older one until the wanted one is complete. */
  readonly served: Map<string, ListFile>;
  /** Names of lists that were tried, successfully or not. */
  readonly tried: Set<string>;
  /** Resolves when every list of the newest manifest was tried. */
  ready: Promise<void>;
  /** Whether every list of the first manifest was tried. */
  isReady: boolean;
}

/** A list as the relay's manifest names it. */
export type ServedList =
  | {
      readonly kind: "on_disk";
      readonly name: string;
      readonly file: ListFile;
      /** Another file has the same fileID, so that the URL needs this file's digest. */
      readonly needsDigest: boolean;
    }
  /** Upstream's manifest names the list, but no file of it is on disk. */
  | { readonly kind: "missing"; readonly name: string };

interface Progress {
  /** Lists that are not served and were not tried yet. */
  readonly untried: number;
  readonly lists: number;
}

/** Keeps the files of all manifests up to date, and knows which of them are served for each key. */
export class ProxiedLists {
  readonly #files: ListFileStore;
  readonly #keys = new Map<SdkKey, KeyLists>();

  constructor(files: ListFileStore, store: ManifestStore) {
    this.#files = files;
    store.listen({
      put: ({ sdkKey, manifest }) => this.#update(sdkKey, manifest),
      removed: (sdkKey) => this.#remove(sdkKey),
    });
  }

  /** Resolves when every list of the key's newest manifest was tried, successfully or not. */
  async ready(sdkKey: SdkKey): Promise<void> {
    await this.#keys.get(sdkKey)?.ready;
  }

  /** Returns whether every list of the key's first manifest was tried. Accepts any text as the key. */
  isReady(sdkKey: string): boolean {
    return this.#keys.get(sdkKey as SdkKey)?.isReady === true;
  }

  /** Returns undefined if no manifest of the key is held. */
  progress(sdkKey: SdkKey): Progress | undefined {
    const lists = this.#keys.get(sdkKey);
    if (lists === undefined) return undefined;
    const untried = lists.names.filter((name) => !isServed(lists, name) && !lists.tried.has(name));
    return { untried: untried.length, lists: lists.names.length };
  }

  /** Returns all lists of a manifest, because SDKs forget lists that are left out. */
  servedLists({ sdkKey, manifest }: HeldManifest): readonly ServedList[] {
    const served = this.#keys.get(sdkKey)?.served;
    return [...manifest.entries.keys()].map((name) => {
      const file = served?.get(name);
      if (!file?.isWhole) return { kind: "missing", name };
      const needsDigest = this.#files.find(file.fileID)?.file !== file;
      return { kind: "on_disk", name, file, needsDigest };
    });
  }

  find(fileID: string, digest?: string): ReturnType<ListFileStore["find"]> {
    return this.#files.find(fileID, digest);
  }

  reportUnreadable(digest: string, failure: FileFailure): void {
    this.#files.reportUnreadable(digest, failure);
  }

  #update(sdkKey: SdkKey, { entries }: Manifest): void {
    const lists = this.#keys.get(sdkKey) ?? {
      names: [],
      wanted: new Map(),
      served: new Map(),
      tried: new Set(),
      ready: Promise.resolve(),
      isReady: false,
    };
    this.#keys.set(sdkKey, lists);
    lists.names = [...entries.keys()];
    for (const name of [...lists.wanted.keys()]) if (!entries.has(name)) this.#unlist(lists, name);
    const updates = [...entries].map(async ([name, entry]) => {
      // Upstream is a relay that does not have the file yet: what is on disk stays.
      if (entry.fileID === MISSING_FILE_ID) return;
      const file = this.#files.findOrAdd(entry);
      this.#assign(lists.wanted, name, file);
      const serveIfWhole = () => {
        if (lists.wanted.get(name) !== file || !file.isWhole || file.isDamaged) return;
        this.#assign(lists.served, name, file);
      };
      // What is on disk is served at once: the host may take long to send what was appended.
      serveIfWhole();
      await this.#files.update(file, entry, sdkKey, serveIfWhole);
      serveIfWhole();
      if (lists.wanted.get(name) === file) lists.tried.add(name);
    });
    lists.ready = Promise.all(updates).then(() => {
      lists.isReady = true;
      this.#files.sweep();
    });
  }

  #remove(sdkKey: SdkKey): void {
    const lists = this.#keys.get(sdkKey);
    this.#keys.delete(sdkKey);
    for (const name of [...(lists?.wanted.keys() ?? [])]) if (lists) this.#unlist(lists, name);
  }

  #unlist(lists: KeyLists, name: string): void {
    lists.tried.delete(name);
    for (const map of [lists.wanted, lists.served]) {
      const file = map.get(name);
      map.delete(name);
      if (file !== undefined) this.#files.release(file);
    }
  }

  #assign(map: Map<string, ListFile>, name: string, file: ListFile): void {
    const before = map.get(name);
    if (before === file) return;
    this.#files.use(file);
    map.set(name, file);
    if (before !== undefined) this.#files.release(before);
  }
}

const isServed = ({ served }: KeyLists, name: string): boolean => served.get(name)?.isWhole === true;
