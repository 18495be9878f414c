import type { SharedBytes } from "../../platform/shared-bytes.ts";
import type { VersionId } from "../deltas/delta.ts";
import { type Feed, feedId } from "../feed.ts";
import { type PreparedPayload, type Snapshot, type SnapshotSource, upstreamId } from "../snapshot.ts";
import type { SpecStore } from "../store.ts";
import type { KeptBody } from "./diff.ts";

/** A version of a feed, as upstream calls it. Clients may have got it under another lcut. */
export interface KeptVersion extends VersionId, KeptBody {
  readonly feed: Feed;
  /** The lcut that clients got it under last; undefined if they never got it, because the key was pinned to another version. */
  readonly servedLcut: number | undefined;
  /** Ms since the Unix epoch. */
  readonly receivedAt: number;
  readonly source: SnapshotSource;
  /** The length of the JSON text, or of the protobuf body. */
  readonly bytes: number;
}

interface KeptVersionsOptions {
  readonly store: Pick<SpecStore, "listen" | "peek">;
  /** Limit of versions of a feed besides the served and the newest one. */
  readonly perFeed: number;
  /** Limit of all versions that are not served, in bytes. */
  readonly maxBytes: number;
  /** Called with the size of versions that are no longer kept. */
  readonly freed: (bytes: number) => void;
}

interface KeptFeed {
  readonly feed: Feed;
  /** Sorted by lcut, and those of one lcut as they came. */
  versions: readonly KeptVersion[];
  /** The bytes of the versions that are not served. */
  bytes: number;
}

/**
 * Keeps the last versions of each held feed, in memory and compressed: the served one, those before it, and the newest one from
 * upstream while the key is pinned. The body of the served version is that of its snapshot. Beyond the limit of bytes, the version
 * that was replaced first is dropped, of whichever feed.
 */
export class KeptVersions {
  readonly #options: KeptVersionsOptions;
  readonly #feeds = new Map<string, KeptFeed>();
  /** The versions that are not served, in the order in which they were replaced or held back. */
  readonly #unserved = new Map<KeptVersion, KeptFeed>();
  #totalBytes = 0;

  constructor(options: KeptVersionsOptions) {
    this.#options = options;
    options.store.listen({
      published: ({ snapshot }) => this.#add(toKept(snapshot, snapshot.lcut)),
      removed: ({ feed }) => this.#forget(feed),
    });
  }

  /** The bytes of the versions that are not served. */
  get bytes(): number {
    return this.#totalBytes;
  }

  /** Keeps a version from upstream that is not served, since the key is pinned. */
  holdBack(feed: Feed, payload: PreparedPayload, receivedAt: number): void {
    this.#add(toKept({ ...payload, feed, source: "upstream", receivedAt }, undefined));
  }

  /** Returns the versions of a held feed by lcut, oldest first. */
  list(feed: Feed): readonly KeptVersion[] {
    return this.#feeds.get(feedId(feed))?.versions ?? [];
  }

  /** Returns the version with this lcut, or the last one if there are several and no checksum is given. */
  find(feed: Feed, { lcut, checksum }: { readonly lcut: number; readonly checksum?: string }) {
    return this.list(feed).findLast(
      (each) => each.lcut === lcut && (checksum === undefined || each.checksum === checksum),
    );
  }

  /** Returns the served version of a held feed. */
  served(feed: Feed): KeptVersion | undefined {
    const held = this.#options.store.peek(feed);
    return held && this.find(feed, upstreamId(held.snapshot));
  }

  /** Returns the version before the served one. */
  previous(feed: Feed): KeptVersion | undefined {
    const versions = this.list(feed);
    const served = this.served(feed);
    return served && versions[versions.indexOf(served) - 1];
  }

  /** Returns the versions that are newer than the served one. */
  heldBack(feed: Feed): readonly KeptVersion[] {
    const versions = this.list(feed);
    const served = this.served(feed);
    return served === undefined ? [] : versions.slice(versions.indexOf(served) + 1);
  }

  #add(version: KeptVersion): void {
    const id = feedId(version.feed);
    const kept = this.#feeds.get(id) ?? { feed: version.feed, versions: [], bytes: 0 };
    this.#feeds.set(id, kept);
    const known = kept.versions.find((each) => isSame(each, version));
    const others = kept.versions.filter((each) => each !== known);
    if (known !== undefined) this.#unserved.delete(known);
    const servedLcut = version.servedLcut ?? known?.servedLcut;
    const at = others.findLastIndex(({ lcut }) => lcut <= version.lcut) + 1;
    kept.versions = others.toSpliced(at, 0, { ...version, servedLcut });
    this.#limit(kept);
    while (this.#totalBytes > this.#options.maxBytes && this.#dropOldest());
  }

  /** Enforces the limit of versions, and counts the bytes of the others. */
  #limit(kept: KeptFeed): void {
    const { versions } = kept;
    const isSpared = this.#spare(kept);
    let excess = versions.filter((each) => !isSpared(each)).length - this.#options.perFeed;
    this.#replace(
      kept,
      versions.filter((each) => isSpared(each) || --excess < 0),
    );
  }

  /** Returns whether a version is kept whatever the limits: it is the served one, or the newest from upstream. */
  #spare({ feed, versions }: KeptFeed): (version: KeptVersion) => boolean {
    const served = this.served(feed);
    return (version) => version === served || version === versions.at(-1);
  }

  #replace(kept: KeptFeed, versions: readonly KeptVersion[]): void {
    const served = this.served(kept.feed);
    const sum = (of: readonly KeptVersion[]) =>
      of.reduce((bytes, each) => bytes + (each === served ? 0 : each.body.length), 0);
    const dropped = kept.versions.filter((each) => !versions.includes(each));
    kept.versions = versions;
    for (const each of dropped) this.#unserved.delete(each);
    for (const each of versions) {
      if (each === served) this.#unserved.delete(each);
      else if (!this.#unserved.has(each)) this.#unserved.set(each, kept);
    }
    this.#totalBytes -= kept.bytes;
    kept.bytes = sum(versions);
    this.#totalBytes += kept.bytes;
    if (dropped.length > 0) this.#options.freed(sum(dropped));
  }

  /** Returns false if nothing can be dropped. */
  #dropOldest(): boolean {
    for (const [version, kept] of this.#unserved) {
      if (this.#spare(kept)(version)) continue;
      this.#replace(
        kept,
        kept.versions.filter((each) => each !== version),
      );
      return true;
    }
    return false;
  }

  #forget(feed: Feed): void {
    const kept = this.#feeds.get(feedId(feed));
    if (kept === undefined) return;
    this.#feeds.delete(feedId(feed));
    for (const each of kept.versions) this.#unserved.delete(each);
    this.#totalBytes -= kept.bytes;
    this.#options.freed(kept.bytes);
  }
}

const isSame = (one: VersionId, other: VersionId) =>
  one.lcut === other.lcut && one.checksum === other.checksum;

/** Smallest coding of a JSON version; of protobuf, the body. */
function toKept(snapshot: Snapshot, servedLcut: number | undefined): KeptVersion {
  const { feed, format, bytes, receivedAt, source } = snapshot;
  const smallest = Object.entries(snapshot.compressed).reduce<readonly [string, SharedBytes] | undefined>(
    (best, [coding, body]) => (best === undefined || body.length < best[1].length ? [coding, body] : best),
    undefined,
  );
  const plain: readonly [string, SharedBytes] = [format === "proto" ? "statsig-br" : "", bytes];
  const [contentEncoding, body] = smallest ?? plain;
  const version = { ...upstreamId(snapshot), servedLcut, receivedAt, source, bytes: bytes.length };
  return { feed, format, contentEncoding, body, ...version };
}
