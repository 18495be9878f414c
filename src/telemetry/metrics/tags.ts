import { LRUCache } from "lru-cache";
import { maskSdkKey, type SdkKey, shortenSdkKey } from "../../access/sdk-key.ts";
import type { Feed } from "../../specs/feed.ts";
import { UNKNOWN_KEY } from "./registry.ts";

/** Returns the tag `path` of a feed: the route by which clients request it over HTTP. */
export function toPathTag({ version }: Pick<Feed, "version">): string {
  return `/${version}/download_config_specs`;
}

/** More keys than are usually cached at once. A key that was evicted here is pushed in its masked form. */
const MAX_SHORT_KEYS = 10_000;

const SHORT_KEYS = new LRUCache<string, string>({ max: MAX_SHORT_KEYS });

function toKeyTag(sdkKey: SdkKey): string {
  const masked = maskSdkKey(sdkKey);
  SHORT_KEYS.set(masked, shortenSdkKey(sdkKey));
  return masked;
}

/** Returns the tag `sdk_key` of pushed lines for that of the series: the form in which the original proxy shows keys. */
export function toPushedKeyTag(keyTag: string): string {
  return SHORT_KEYS.get(keyTag) ?? keyTag;
}

export interface FeedTags {
  readonly sdk_key: string;
  readonly path: string;
}

/** Caches tags: masking a key hashes it, which would block the thread if thousands of feeds are read at once. */
const TAGS = new WeakMap<Feed, FeedTags>();

export function toTags(feed: Feed): FeedTags {
  const known = TAGS.get(feed);
  if (known !== undefined) return known;
  const tags = { sdk_key: toKeyTag(feed.sdkKey), path: toPathTag(feed) };
  TAGS.set(feed, tags);
  return tags;
}

/** Returns the tags of a feed that is not cached. Such keys share a series, since clients can make up any number of keys. */
export function tagsForUnknownKey(feed: Pick<Feed, "version">): FeedTags {
  return { sdk_key: UNKNOWN_KEY, path: toPathTag(feed) };
}

/** Returns the tag `sdk_key`. Unknown keys share one value, since clients can make up any number of keys. */
export class KeyTags {
  #knows: (sdkKey: SdkKey) => boolean = () => false;

  /** Sets the test for known keys. Until then, all keys are unknown. */
  knownBy(knows: (sdkKey: SdkKey) => boolean): void {
    this.#knows = knows;
  }

  knows(sdkKey: SdkKey): boolean {
    return this.#knows(sdkKey);
  }

  of(sdkKey: SdkKey | undefined): { readonly sdk_key: string } {
    return { sdk_key: sdkKey !== undefined && this.knows(sdkKey) ? toKeyTag(sdkKey) : UNKNOWN_KEY };
  }
}
