import { createHash } from "node:crypto";
import type { SdkKey } from "../access/sdk-key.ts";
import { MAX_MANIFEST_BYTES, type ManifestBackup } from "../id-lists/manifest.ts";
import type { Feed } from "../specs/feed.ts";
import type { RedisConnection } from "./connection.ts";
import { type NamedKey, sdkKeyDigest } from "./keys.ts";
import { readEntry } from "./read-entry.ts";
import { writeEntry } from "./write-entry.ts";

/**
 * Keeps manifests under the key that SDKs' data stores ask for, as hashes like those of config specs. Only under
 * the 3.x name: a 4.x name can be two keys' at once, and nothing in a manifest tells whose it is.
 */
export class RedisManifests implements ManifestBackup {
  readonly #redis: RedisConnection;
  readonly #ttlMs: number;

  /** `ttlMs` counts from the last write. The connection's owner closes it. */
  constructor(redis: RedisConnection, ttlMs: number) {
    this.#redis = redis;
    this.#ttlMs = ttlMs;
  }

  async readManifest(sdkKey: SdkKey): Promise<string | undefined> {
    const read = await readEntry(this.#redis, keyOf(sdkKey), {
      feed: ownerOf(sdkKey),
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
    const digest = createHash("sha256").update(bytes).digest("base64url").slice(0, 16);
    const entry = { feed: ownerOf(sdkKey), format: "json", lcut: fetchedAt, bytes, digest } as const;
    await writeEntry(this.#redis, keyOf(sdkKey), entry, { instead: undefined, ttlMs: this.#ttlMs });
  }

  async removeManifest(sdkKey: SdkKey): Promise<void> {
    await this.#redis.send("DEL", [keyOf(sdkKey).name]);
  }
}

function keyOf(sdkKey: SdkKey): NamedKey {
  return { schema: "v3", name: `statsig|/v1/get_id_lists|plain_text|${sdkKeyDigest(ownerOf(sdkKey))}` };
}

/** Of an entry's feed only the key matters: the entry must be its own. */
function ownerOf(sdkKey: SdkKey): Feed {
  return { sdkKey, version: "v1", format: "json" };
}
