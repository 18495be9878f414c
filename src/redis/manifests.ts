import type { SdkKey } from "../access/sdk-key.ts";
import { MAX_MANIFEST_BYTES, type ManifestBackup } from "../id-lists/manifest.ts";
import type { Feed } from "../specs/feed.ts";
import { digestBytes } from "../specs/snapshot.ts";
import type { RedisConnection } from "./connection.ts";
import { type NamedKey, sdkKeyDigest } from "./keys.ts";
import { readEntry } from "./read-entry.ts";
import { writeEntry } from "./write-entry.ts";

/**
 * Keeps manifests of ID lists under the key that the data stores of SDKs read, as entries like those of config specs. Uses only the
 * v3 name: two SDK keys can share a v4 name, and a manifest does not name its SDK key.
 */
export class RedisManifests implements ManifestBackup {
  readonly #redis: RedisConnection;
  readonly #ttlMs: number;

  /** Entries live for `ttlMs` after the last write. Does not close the connection. */
  constructor(redis: RedisConnection, ttlMs: number) {
    this.#redis = redis;
    this.#ttlMs = ttlMs;
  }

  async readManifest(sdkKey: SdkKey): Promise<string | undefined> {
    const read = await readEntry(this.#redis, toKey(sdkKey), {
      feed: toFeed(sdkKey),
      newerThan: -1,
      maxBytes: MAX_MANIFEST_BYTES,
    });
    switch (read.kind) {
      case "found":
        return new TextDecoder().decode(read.raw.body);
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
    await writeEntry(this.#redis, toKey(sdkKey), entry, { instead: undefined, ttlMs: this.#ttlMs });
  }

  async removeManifest(sdkKey: SdkKey): Promise<void> {
    await this.#redis.send("DEL", [toKey(sdkKey).name]);
  }
}

function toKey(sdkKey: SdkKey): NamedKey {
  return { schema: "v3", name: `statsig|/v1/get_id_lists|plain_text|${sdkKeyDigest(toFeed(sdkKey))}` };
}

/** Returns a feed for functions that use only its SDK key. */
function toFeed(sdkKey: SdkKey): Feed {
  return { sdkKey, version: "v1", format: "json" };
}
