import type { SdkKey } from "../access/sdk-key.ts";
import type { ListFileStore } from "./file-store.ts";
import type { ListFile } from "./folder.ts";
import { type Manifest, MISSING_FILE_ID } from "./manifest.ts";
import type { HeldManifest, ManifestStore } from "./store.ts";

/** The lists of one key, by name. */
interface KeyLists {
  /** Of all lists of upstream's manifest, those included that upstream, a relay, doesn't have itself yet. */
  names: readonly string[];
  /** The files that upstream's manifest names. */
  readonly wanted: Map<string, ListFile>;
  /** Those that are here; an older one until the one that is wanted is. */
  readonly served: Map<string, ListFile>;
  /** Names of lists that were tried, whether or not their files could be had. */
  readonly tried: Set<string>;
  ready: Promise<void>;
  /** Every list of the first manifest was tried. */
  isReady: boolean;
}

/** A list as the relay serves it. */
export type ServedList =
  | {
      readonly kind: "on_disk";
      readonly name: string;
      readonly file: ListFile;
      /** Without it the fileID would lead to another file. */
      readonly needsDigest: boolean;
    }
  /** Upstream's manifest names it; no file of it is here. */
  | { readonly kind: "missing"; readonly name: string };

/** How many lists of a key are neither served nor were tried yet. */
interface Progress {
  readonly untried: number;
  readonly lists: number;
}

/** Keeps the files of all manifests, and says which of them each key is served. */
export class ProxiedLists {
  readonly #shelf: ListFileStore;
  readonly #keys = new Map<SdkKey, KeyLists>();

  constructor(shelf: ListFileStore, store: ManifestStore) {
    this.#shelf = shelf;
    store.listen({
      put: ({ sdkKey, manifest }) => this.#follow(sdkKey, manifest),
      removed: (sdkKey) => this.#forget(sdkKey),
    });
  }

  get status(): ListFileStore["status"] {
    return this.#shelf.status;
  }

  /** Resolves when every file of the newest manifest is here, or could not be had. */
  async ready(sdkKey: SdkKey): Promise<void> {
    await this.#keys.get(sdkKey)?.ready;
  }

  /** Every list of the first manifest was tried. Takes any text for the key. */
  isReady(sdkKey: string): boolean {
    return this.#keys.get(sdkKey as SdkKey)?.isReady === true;
  }

  /** Undefined while there is no manifest of the key. */
  progress(sdkKey: SdkKey): Progress | undefined {
    const lists = this.#keys.get(sdkKey);
    if (lists === undefined) return undefined;
    const untried = lists.names.filter((name) => !isServed(lists, name) && !lists.tried.has(name));
    return { untried: untried.length, lists: lists.names.length };
  }

  /** The lists of a key's manifest, every one: SDKs forget those that are left out. Never more of a file than is here. */
  listsOf({ sdkKey, manifest }: HeldManifest): readonly ServedList[] {
    const served = this.#keys.get(sdkKey)?.served;
    return [...manifest.entries.keys()].map((name) => {
      const file = served?.get(name);
      if (!file?.isWhole) return { kind: "missing", name };
      const needsDigest = this.#shelf.find(file.fileID)?.file !== file;
      return { kind: "on_disk", name, file, needsDigest };
    });
  }

  find(fileID: string, digest?: string): ReturnType<ListFileStore["find"]> {
    return this.#shelf.find(fileID, digest);
  }

  unreadable(file: ListFile, error: unknown): void {
    this.#shelf.unreadable(file, error);
  }

  #follow(sdkKey: SdkKey, { entries }: Manifest): void {
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
    const brought = [...entries].map(async ([name, entry]) => {
      // Upstream is a relay that doesn't have it yet: what is here of the list stays.
      if (entry.fileID === MISSING_FILE_ID) return;
      const file = this.#shelf.file(entry);
      this.#assign(lists.wanted, name, file);
      const serveWhatIsThere = () => {
        if (lists.wanted.get(name) !== file || !file.isWhole || file.isDamaged) return;
        this.#assign(lists.served, name, file);
      };
      // What is here of the list is served at once, however long the host takes to send what was appended.
      serveWhatIsThere();
      await this.#shelf.bring(file, entry, sdkKey, serveWhatIsThere);
      serveWhatIsThere();
      if (lists.wanted.get(name) === file) lists.tried.add(name);
    });
    lists.ready = Promise.all(brought).then(() => {
      lists.isReady = true;
      this.#shelf.sweep();
    });
  }

  #forget(sdkKey: SdkKey): void {
    const lists = this.#keys.get(sdkKey);
    this.#keys.delete(sdkKey);
    for (const name of [...(lists?.wanted.keys() ?? [])]) if (lists) this.#unlist(lists, name);
  }

  #unlist(lists: KeyLists, name: string): void {
    lists.tried.delete(name);
    for (const map of [lists.wanted, lists.served]) {
      const file = map.get(name);
      map.delete(name);
      if (file !== undefined) this.#shelf.release(file);
    }
  }

  #assign(map: Map<string, ListFile>, name: string, file: ListFile): void {
    const before = map.get(name);
    if (before === file) return;
    this.#shelf.use(file);
    map.set(name, file);
    if (before !== undefined) this.#shelf.release(before);
  }
}

const isServed = ({ served }: KeyLists, name: string): boolean => served.get(name)?.isWhole === true;
