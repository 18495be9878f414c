import { LRUCache } from "lru-cache";
import type { SdkKey } from "../access/sdk-key.ts";
import type { Manifest } from "./manifest.ts";

/** A key of which there is a manifest. */
export class HeldManifest {
  readonly sdkKey: SdkKey;
  manifest: Manifest;

  constructor(sdkKey: SdkKey, manifest: Manifest) {
    this.sdkKey = sdkKey;
    this.manifest = manifest;
  }
}

/** Told of every change, synchronously and in order. */
interface ManifestListener {
  /** Upstream's answer to every request that brought one, also where nothing changed. */
  put(held: HeldManifest, isFirst: boolean): void;
  removed(sdkKey: SdkKey): void;
}

interface ManifestStoreOptions {
  readonly maxKeys: number;
  /** Nothing of a key that is not allowed is taken; all are when left out. */
  readonly allows?: (sdkKey: SdkKey) => boolean;
}

/** The last good manifest of every key that asked. At most `maxKeys`: for one more, the least recently used goes. */
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

  /** Counts as a use. Takes any text: what is no SDK key is not held. */
  find(sdkKey: string): HeldManifest | undefined {
    return this.#held.get(sdkKey as SdkKey);
  }

  peek(sdkKey: SdkKey): HeldManifest | undefined {
    return this.#held.peek(sdkKey);
  }

  /** Whether something of a key may be held. */
  allows(sdkKey: SdkKey): boolean {
    return this.#allows(sdkKey);
  }

  /** False, and nothing changed, where the key is not allowed. */
  put(sdkKey: SdkKey, manifest: Manifest): boolean {
    if (!this.#allows(sdkKey)) return false;
    const known = this.#held.peek(sdkKey);
    const held = known ?? new HeldManifest(sdkKey, manifest);
    // Not set anew: a poll is no use, and must not keep a key that nobody asks for.
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
