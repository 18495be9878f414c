import type { SdkKey } from "../access/sdk-key.ts";
import { MAX_MANIFEST_BYTES, type ManifestBackup } from "../id-lists/manifest.ts";
import type { Feed } from "../specs/feed.ts";
import { digestBytes } from "../specs/snapshot.ts";
import type { RedisConnection } from "./connection.ts";
import { readNewest } from "./entries/read-entry.ts";
import { removeEntry, writeEntry } from "./entries/write-entry.ts";
import type { NamedKey, RedisKeySchema } from "./keys.ts";

/**
 * Keeps manifests of ID lists under the keys that the data stores of SDKs read, as entries like those of config specs. A manifest
 * does not name its SDK key. So under a v4 name, which two SDK keys can share, only what a relay of this project wrote is read.
 */
export class RedisManifests implements ManifestBackup {
  readonly #redis: RedisConnection;
  readonly #schemas: readonly ("v3" | "v4")[];
  readonly #ttlMs: number;

  /** Uses the names of `schemas`, or those of v3 if there is none. Entries live for `ttlMs` after the last write. */
  constructor(redis: RedisConnection, schemas: readonly RedisKeySchema[], ttlMs: number) {
    this.#redis = redis;
    const named = schemas.filter((schema) => schema !== "v1");
    this.#schemas = named.length > 0 ? named : ["v3"];
    this.#ttlMs = ttlMs;
  }

  async readManifest(sdkKey: SdkKey): Promise<string | undefined> {
    let read = await readNewest(this.#redis, this.#toKeys(sdkKey), {
      feed: toFeed(sdkKey),
      newerThan: -1,
      maxBytes: MAX_MANIFEST_BYTES,
      isSoleKey: () => false,
    });
    while (read.kind !== "none" && (read.kind === "unusable" || read.isUnverified)) {
      const older = await read.next?.();
      if (older === undefined) break;
      read = older;
    }
    switch (read.kind) {
      case "found":
        return read.isUnverified ? undefined : new TextDecoder().decode(read.raw.body);
      case "none":
        return undefined;
      case "unusable":
        throw new Error(read.detail);
    }
  }

  async writeManifest(sdkKey: SdkKey, text: string, fetchedAt: number): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    const digest = digestBytes(bytes);
    const entry = { feed: toFeed(sdkKey), format: "json", lcut: fetchedAt, bytes, digest } as const;
    const options = { ttlMs: this.#ttlMs };
    await Promise.all(this.#toKeys(sdkKey).map((key) => writeEntry(this.#redis, key, entry, options)));
  }

  async removeManifest(sdkKey: SdkKey): Promise<void> {
    const entry = { feed: toFeed(sdkKey), maxBytes: MAX_MANIFEST_BYTES, isSoleKey: () => false };
    await Promise.all(this.#toKeys(sdkKey).map((key) => removeEntry(this.#redis, key, entry)));
  }

  #toKeys(sdkKey: SdkKey): readonly NamedKey[] {
    return this.#schemas.map((schema) => this.#redis.keys.manifest(toFeed(sdkKey), schema));
  }
}

/** Returns a feed for functions that use only its SDK key. */
function toFeed(sdkKey: SdkKey): Feed {
  return { sdkKey, version: "v1", format: "json" };
}
