import { LRUCache } from "lru-cache";
import type { SdkKey } from "../access/sdk-key.ts";
import type { Manifest } from "./manifest.ts";

/** The last good manifest of an SDK key. */
export class HeldManifest {
  readonly sdkKey: SdkKey;
  manifest: Manifest;

  constructor(sdkKey: SdkKey, manifest: Manifest) {
    this.sdkKey = sdkKey;
    this.manifest = manifest;
  }
}

/** Called for every change, synchronously and in order. */
interface ManifestListener {
  /** Called for every manifest that is put, even if it equals the one that is held. */
  put(held: HeldManifest, isFirst: boolean): void;
  removed(sdkKey: SdkKey): void;
}

interface ManifestStoreOptions {
  readonly maxKeys: number;
  /** Manifests of keys that are not allowed are not held. The default allows every key. */
  readonly allows?: (sdkKey: SdkKey) => boolean;
}

/** Holds the last good manifest of each SDK key. Above `maxKeys`, the least recently used key is evicted. */
export class ManifestStore {
  readonly #held: LRUCache<SdkKey, HeldManifest>;
  readonly #listeners = new Set<ManifestListener>();
  readonly #allows: (sdkKey: SdkKey) => boolean;

  constructor(options: ManifestStoreOptions) {
    this.#allows = options.allows ?? (() => true);
    this.#held = new LRUCache({
      max: options.maxKeys,
      dispose: (_, sdkKey, reason) => {
        if (reason !== "set") for (const listener of this.#listeners) listener.removed(sdkKey);
      },
    });
  }

  /** Marks the key as used. Accepts any text; returns undefined if it is not a key that is held. */
  find(sdkKey: string): HeldManifest | undefined {
    return this.#held.get(sdkKey as SdkKey);
  }

  /** Like {@link find}, but does not mark the key as used. */
  peek(sdkKey: SdkKey): HeldManifest | undefined {
    return this.#held.peek(sdkKey);
  }

  keys(): Iterable<SdkKey> {
    return this.#held.keys();
  }

  /** Returns whether a manifest of the key may be held. */
  allows(sdkKey: SdkKey): boolean {
    return this.#allows(sdkKey);
  }

  /** Returns false, and changes nothing, if the key is not allowed. */
  put(sdkKey: SdkKey, manifest: Manifest): boolean {
    if (!this.#allows(sdkKey)) return false;
    const known = this.#held.peek(sdkKey);
    const held = known ?? new HeldManifest(sdkKey, manifest);
    // Updated in place: a poll must not mark the key as used, or keys without clients would never be evicted.
    held.manifest = manifest;
    if (known === undefined) this.#held.set(sdkKey, held);
    for (const listener of this.#listeners) listener.put(held, known === undefined);
    return true;
  }

  remove(sdkKey: SdkKey): void {
    this.#held.delete(sdkKey);
  }

  listen(listener: ManifestListener): void {
    this.#listeners.add(listener);
  }
}
