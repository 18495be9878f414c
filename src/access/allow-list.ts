import type { SdkKey } from "./sdk-key.ts";

/** The SDK keys that are served, where it was said which; else all are. */
export class AllowList {
  readonly #listeners = new Set<(removed: ReadonlySet<SdkKey>) => void>();
  #keys: ReadonlySet<SdkKey> | undefined;

  constructor(keys: Iterable<SdkKey> | undefined) {
    this.#keys = keys && new Set(keys);
  }

  /** Whether there is a list at all. */
  get isGiven(): boolean {
    return this.#keys !== undefined;
  }

  allows(sdkKey: SdkKey): boolean {
    return this.#keys?.has(sdkKey) ?? true;
  }

  /** Whether these are the keys of the list, in whatever order. */
  consistsOf(keys: Iterable<SdkKey>): boolean {
    const others = new Set(keys);
    return this.#keys?.size === others.size && others.isSubsetOf(this.#keys);
  }

  /** From now on these. Returns how many of those that were allowed are no longer. */
  replace(keys: Iterable<SdkKey>): number {
    const allowed = new Set(keys);
    const removed = new Set([...(this.#keys ?? [])].filter((key) => !allowed.has(key)));
    this.#keys = allowed;
    for (const listener of this.#listeners) listener(removed);
    return removed.size;
  }

  /** Called with the keys that went, when they are no longer allowed. */
  onRemoved(listener: (removed: ReadonlySet<SdkKey>) => void): void {
    this.#listeners.add(listener);
  }
}
