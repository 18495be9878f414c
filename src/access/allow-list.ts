import type { Clock } from "../platform/clock.ts";
import { describeUnreadable, type FileContents, FileWatch } from "../platform/file-watch.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { EmitAccessEvent } from "./events.ts";
import { parseSdkKeyList, type SdkKey } from "./sdk-key.ts";

/** The SDK keys that are served. Without a list, all keys are. */
export class AllowList {
  readonly #listeners = new Set<(removed: ReadonlySet<SdkKey>) => void>();
  #keys: ReadonlySet<SdkKey> | undefined;

  constructor(keys: Iterable<SdkKey> | undefined) {
    this.#keys = keys && new Set(keys);
  }

  /** Whether there is a list. */
  get isGiven(): boolean {
    return this.#keys !== undefined;
  }

  /** Returns the keys of the list; none if there is no list. */
  get keys(): Iterable<SdkKey> {
    return this.#keys ?? [];
  }

  allows(sdkKey: SdkKey): boolean {
    return this.#keys?.has(sdkKey) ?? true;
  }

  /** Returns whether the list has exactly these keys, in any order. */
  consistsOf(keys: Iterable<SdkKey>): boolean {
    const others = new Set(keys);
    return this.#keys?.size === others.size && others.isSubsetOf(this.#keys);
  }

  /** Replaces the list. Returns how many keys are no longer allowed. */
  replace(keys: Iterable<SdkKey>): number {
    const allowed = new Set(keys);
    const removed = new Set([...(this.#keys ?? [])].filter((key) => !allowed.has(key)));
    this.#keys = allowed;
    for (const listener of this.#listeners) listener(removed);
    return removed.size;
  }

  /** Calls the listener with the removed keys, once they are no longer allowed. */
  onRemoved(listener: (removed: ReadonlySet<SdkKey>) => void): void {
    this.#listeners.add(listener);
  }
}

interface AllowListFileOptions {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitAccessEvent;
}

/** Keeps the allow-list equal to a file. A reload of the configuration may name another file, or none. */
export class AllowListFile implements AsyncDisposable {
  readonly #allowList: AllowList;
  readonly #options: AllowListFileOptions;
  #watched: { readonly path: string; readonly file: FileWatch } | undefined;
  #isRefused = false;

  constructor(allowList: AllowList, options: AllowListFileOptions) {
    this.#allowList = allowList;
    this.#options = options;
  }

  /** Applies the list of a reloaded configuration at once, so that it matches the preloaded keys of the same reload. */
  reload({ keys, path }: { readonly keys: readonly SdkKey[]; readonly path: string | undefined }): void {
    if (path === undefined) this.#allowList.replace(keys);
    else this.#accept(keys);
    this.watch(path);
  }

  /** Watches this file instead of the previous one, or none if `path` is undefined. */
  watch(path: string | undefined): void {
    if (path === this.#watched?.path) return;
    void this.#watched?.file[Symbol.asyncDispose]();
    const { clock, supervisor } = this.#options;
    const onChange = (contents: FileContents) => path !== undefined && this.#read(contents.get(path), path);
    this.#watched =
      path === undefined
        ? undefined
        : { path, file: new FileWatch({ paths: [path], clock, supervisor, onChange }) };
  }

  #read(content: Buffer | undefined, path: string): void {
    try {
      const keys = parseList(content, path);
      // A reload may have applied the file already.
      if (this.#isRefused || !this.#allowList.consistsOf(keys)) this.#accept(keys);
    } catch (error) {
      if (!(error instanceof InvalidList)) throw error;
      this.#isRefused = true;
      this.#options.emit({ kind: "allowed_keys_refused", detail: error.message });
    }
  }

  #accept(keys: readonly SdkKey[]): void {
    this.#isRefused = false;
    const removed = this.#allowList.replace(keys);
    this.#options.emit({ kind: "allowed_keys_reloaded", keys: keys.length, removed });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watched?.file[Symbol.asyncDispose]();
  }
}

class InvalidList extends Error {}

function parseList(content: Buffer | undefined, path: string): readonly SdkKey[] {
  if (content === undefined) throw new InvalidList(describeUnreadable(path));
  return parseSdkKeyList(content.toString(), (problem) => {
    throw new InvalidList(problem);
  });
}
