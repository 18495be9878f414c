import { maskSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type { Feed } from "../../specs/feed.ts";
import { UNKNOWN_KEY } from "./registry.ts";

/** By which clients ask for a feed over HTTP; the tag `path` of all that happens to it. */
export function toPathTag({ version }: Pick<Feed, "version">): string {
  return `/${version}/download_config_specs`;
}

export interface FeedTags {
  readonly sdk_key: string;
  readonly path: string;
}

/** A mask is a hash: of thousands of feeds, at every look, that is much time in which nothing is answered. */
const TAGS = new WeakMap<Feed, FeedTags>();

export function toTags(feed: Feed): FeedTags {
  const known = TAGS.get(feed);
  if (known !== undefined) return known;
  const tags = { sdk_key: maskSdkKey(feed.sdkKey), path: toPathTag(feed) };
  TAGS.set(feed, tags);
  return tags;
}

/** Keys of which nothing is held can be as many as strangers make up: they have no series of their own. */
export function tagsForUnknownKey(feed: Pick<Feed, "version">): FeedTags {
  return { sdk_key: UNKNOWN_KEY, path: toPathTag(feed) };
}

/** How SDK keys are told in tags: masked, and only those that the relay knows, since strangers make up any number. */
export class KeyTags {
  #knows: (sdkKey: SdkKey) => boolean = () => false;

  /** Set once that is known; until then all are strangers. */
  knownBy(knows: (sdkKey: SdkKey) => boolean): void {
    this.#knows = knows;
  }

  of(sdkKey: SdkKey | undefined): { readonly sdk_key: string } {
    return { sdk_key: sdkKey !== undefined && this.#knows(sdkKey) ? maskSdkKey(sdkKey) : UNKNOWN_KEY };
  }
}
