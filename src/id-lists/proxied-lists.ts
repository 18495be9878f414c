import type { SdkKey } from "../specs/sdk-key.ts";
import type { ListFile } from "./list-file.ts";
import type { ListShelf } from "./list-shelf.ts";
import type { Manifest } from "./manifest.ts";
import type { HeldManifest, ManifestStore } from "./manifest-store.ts";

/** The lists of one key, by name. */
interface KeyLists {
  /** The files that upstream's manifest names. */
  readonly wanted: Map<string, ListFile>;
  /** Those that are here; an older one until the one that is wanted is. */
  readonly served: Map<string, ListFile>;
  ready: Promise<void>;
}

/** A list as the relay serves it. */
export interface ServedList {
  readonly name: string;
  readonly file: ListFile;
  /** Without it the fileID would lead to another file. */
  readonly needsDigest: boolean;
}

/** Keeps the files of all manifests, and says which of them each key is served. */
export class ProxiedLists {
  readonly #shelf: ListShelf;
  readonly #keys = new Map<SdkKey, KeyLists>();

  constructor(shelf: ListShelf, store: ManifestStore) {
    this.#shelf = shelf;
    store.listen({
      put: ({ sdkKey, manifest }) => this.#follow(sdkKey, manifest),
      removed: (sdkKey) => this.#forget(sdkKey),
    });
  }

  /** Resolves when every file of the newest manifest is here, or could not be had. */
  async ready(sdkKey: SdkKey): Promise<void> {
    await this.#keys.get(sdkKey)?.ready;
  }

  /** The lists of a key whose files are here: never more of a file than is. */
  listsOf({ sdkKey }: HeldManifest): readonly ServedList[] {
    const served = [...(this.#keys.get(sdkKey)?.served ?? [])];
    return served
      .filter(([, file]) => file.isWhole)
      .map(([name, file]) => ({ name, file, needsDigest: this.#shelf.find(file.fileID)?.file !== file }));
  }

  find(fileID: string, digest?: string): ReturnType<ListShelf["find"]> {
    return this.#shelf.find(fileID, digest);
  }

  #follow(sdkKey: SdkKey, { entries }: Manifest): void {
    const lists = this.#keys.get(sdkKey) ?? {
      wanted: new Map(),
      served: new Map(),
      ready: Promise.resolve(),
    };
    this.#keys.set(sdkKey, lists);
    for (const name of [...lists.wanted.keys()]) if (!entries.has(name)) this.#unlist(lists, name);
    const brought = [...entries].map(async ([name, entry]) => {
      const file = this.#shelf.file(entry);
      this.#assign(lists.wanted, name, file);
      await this.#shelf.bring(file, entry);
      if (file.isWhole && lists.wanted.get(name) === file) this.#assign(lists.served, name, file);
    });
    lists.ready = Promise.all(brought).then(() => {});
  }

  #forget(sdkKey: SdkKey): void {
    const lists = this.#keys.get(sdkKey);
    this.#keys.delete(sdkKey);
    for (const name of [...(lists?.wanted.keys() ?? [])]) if (lists) this.#unlist(lists, name);
  }

  #unlist(lists: KeyLists, name: string): void {
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
