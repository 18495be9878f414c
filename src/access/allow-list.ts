import type { SdkKey } from "./sdk-key.ts";

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
